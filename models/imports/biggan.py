"""Conversion of weights of github.com/ajbrock/BigGAN-PyTorch (arXiv:1809.11096; G, G_ema, D; 32 to 256 pixels)."""

import re
from functools import partial

import torch

from models.imports.common import Kind, Places, State, convert, table_of
from models.nets.biggan import D_WIDTHS, FIRST_SIDE, G_WIDTHS
from util.errors import UserError

BARE = {"weight": "parametrizations.weight.original", "u0": "parametrizations.weight.0._u"}
LAYER = BARE | {"bias": "bias"}
PLAIN = {"weight": "weight"}
STATISTICS = {"stored_mean": "running_mean", "stored_var": "running_var"}
OUTPUT_NORM = STATISTICS | {"gain": "weight", "bias": "bias"}
ATTENTION = {"theta": "query", "phi": "key", "g": "value", "o": "output"}

# kept for its log alone: the last singular values, and further singular vectors
LOGGED = re.compile(r"\.(sv\d+|u[1-9]\d*)$")
# what --mybn and --cross_replica add; their statistics lie in a module `bn`, under the names of torch with the latter
COUNTERS = (".bn.accumulation_counter", ".bn.num_batches_tracked")
OWN_STATISTICS = re.compile(r"(.+)\.bn\.(?:stored|running)_(mean|var)$")

# blocks in the net -> side of its images in pixels
SIZES: dict[Kind, dict[int, int]] = {
    "G": {len(widths) - 1: size for size, widths in G_WIDTHS.items()},
    "D": {len(widths): size for size, (widths, _) in D_WIDTHS.items()},
}


def translate(source: State, kind: Kind) -> State:
    """Convert a state dict to that of a BigGANGenerator or BigGANDiscriminator; G_ema is of kind G.

    The net needs spectral norm on its `spectral_layers()`.

    Raises:
        UserError: no architecture has so many blocks, a key is not in the table, or a key of the table is missing.
    """
    source, size = _with_usual_statistics(source), _size(source, kind)
    if "blocks.0.0.bn1.gain.weight" in source and "blocks.0.0.bn1.stored_mean" not in source:
        raise UserError(
            "its norms have no statistics, as in training with --norm_style gn or nonorm: this repository has no such "
            "nets, so only weights of --norm_style bn can be imported"
        )
    places = _generator(size, shared="shared.weight" in source) if kind == "G" else _discriminator(size)
    for index, side in _attending(source, kind).items():
        places[f"blocks.{index}.1"] = (f"attention.{side}", {"gamma": "gamma"})
        for part, own in ATTENTION.items():
            places[f"blocks.{index}.1.{part}"] = (f"attention.{side}.{own}", BARE)
    return convert(source, table_of(places), partial(_not_biggan, kind))


def options(source_G: State, source_D: State | None = None) -> dict[str, str | int]:
    """The options of a run whose nets fit the converted weights, from the shapes; those of D only with its weights.

    Raises:
        UserError: as translate(), or the nets are for images of different sizes.
    """
    translate(source_G, "G")
    size = _size(source_G, "G")
    output_nc, width = source_G["output_layer.2.weight"].shape[:2]
    # (classes, width), or (width, length of the condition)
    condition = source_G["blocks.0.0.bn1.gain.weight"].shape
    shared = source_G.get("shared.weight")
    n_classes, shared_dim = (condition[0], 0) if shared is None else shared.shape
    hierarchical = shared is not None and condition[1] > shared_dim
    found: dict[str, str | int] = {
        "model": "biggan",
        "crop_size": size,
        "z_dim": source_G["linear.weight"].shape[1] * (len(G_WIDTHS[size]) if hierarchical else 1),
        "ngf": width // G_WIDTHS[size][-1],
        "output_nc": output_nc,
        "n_classes": n_classes,
        "attn_res": _joined(_attending(source_G, "G")),
        "hierarchical": str(hierarchical).lower(),
        "shared_dim": shared_dim,
        "norm": "syncbatch" if any(key.endswith(".bn.running_mean") for key in source_G) else "batch",
    }
    if source_D is not None:
        translate(source_D, "D")
        if _size(source_D, "D") != size:
            raise UserError(
                f"the generator makes images of {size} pixels and the discriminator takes {_size(source_D, 'D')}: "
                "use the files of one run"
            )
        found["ndf"] = source_D["blocks.0.0.conv1.weight"].shape[0] // D_WIDTHS[size][0][0]
        found["attn_res_D"] = _joined(_attending(source_D, "D"))
    return found


# ---------------------------------------------------------------------- tables


def _generator(size: int, *, shared: bool) -> Places:
    places = {
        "linear": ("linear", LAYER),
        "output_layer.0": ("output_layer.0", OUTPUT_NORM),
        "output_layer.2": ("output_layer.2", LAYER),
    }
    if shared:
        places["shared"] = ("shared", PLAIN)
    for index in range(len(G_WIDTHS[size]) - 1):
        theirs, ours = f"blocks.{index}.0", f"blocks.{index}"
        for conv in ("conv1", "conv2", "conv_sc"):
            places[f"{theirs}.{conv}"] = (f"{ours}.{conv}", LAYER)
        for norm in ("bn1", "bn2"):
            places[f"{theirs}.{norm}"] = (f"{ours}.{norm}.norm", STATISTICS)
            for part in ("gain", "bias"):  # linear layers of the condition, or embeddings of the label
                places[f"{theirs}.{norm}.{part}"] = (f"{ours}.{norm}.{part}", BARE if shared else PLAIN)
    return places


def _discriminator(size: int) -> Places:
    places = {"linear": ("linear", LAYER), "embed": ("embed", BARE)}
    widths, halving = D_WIDTHS[size]
    for index, width in enumerate(widths):
        identity = index >= halving and width == widths[index - 1]  # the shortcut has no convolution
        for conv in ("conv1", "conv2") if identity else ("conv1", "conv2", "conv_sc"):
            places[f"blocks.{index}.0.{conv}"] = (f"blocks.{index}.{conv}", LAYER)
    return places


# ---------------------------------------------------------------------- the source's shape


def _with_usual_statistics(source: State) -> State:
    """The tensors that matter, with the statistics of all kinds of batch norm under the names of the usual one."""
    usual: State = {}
    for key, value in source.items():
        match = OWN_STATISTICS.match(key)
        if match:  # --mybn stores sums after standing statistics were measured, and counts the batches
            batches = source.get(f"{match[1]}.bn.accumulation_counter", torch.ones(1))
            usual[f"{match[1]}.stored_{match[2]}"] = value / batches.clamp_min(1)
        elif not (LOGGED.search(key) or key.endswith(COUNTERS)):
            usual[key] = value
    return usual


def _size(source: State, kind: Kind) -> int:
    found = {int(match[1]) for key in source if (match := re.match(r"blocks\.(\d+)\.", key))}
    blocks = max(found, default=-1) + 1
    if blocks not in SIZES[kind]:
        known = ", ".join(f"{count} ({size} px)" for count, size in SIZES[kind].items())
        raise _not_biggan(kind, f"{blocks} blocks; known are {known}")
    return SIZES[kind][blocks]


def _attending(source: State, kind: Kind) -> dict[int, int]:
    """Block that attention follows -> side of its features; only blocks that change the side can have attention."""
    size = _size(source, kind)
    if kind == "G":
        sides = [FIRST_SIDE * 2 ** (index + 1) for index in range(len(G_WIDTHS[size]) - 1)]
    else:
        sides = [size // 2 ** (index + 1) for index in range(D_WIDTHS[size][1])]
    return {
        index: side
        for index, side in enumerate(sides)
        if any(key.startswith(f"blocks.{index}.1.") for key in source)
    }


def _joined(attending: dict[int, int]) -> str:
    return ",".join(map(str, attending.values())) or "none"


def _not_biggan(kind: Kind, facts: str) -> UserError:
    files = "G.pth or G_ema.pth" if kind == "G" else "D.pth"
    return UserError(
        f"these are not the weights of net {kind} of BigGAN-PyTorch ({facts}): "
        f"use the {files} that its training saved"
    )
