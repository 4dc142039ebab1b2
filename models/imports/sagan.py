"""Conversion of weights of github.com/heykeetae/Self-Attention-GAN (64 pixels, arXiv:1805.08318)."""

from functools import partial

from torch import Tensor

from models.imports.common import Kind, State, convert, table_of
from util.errors import UserError

NORMALISED = {
    "bias": "bias",
    "weight_bar": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
PLAIN = {part: part for part in ("weight", "bias")}
BATCH_NORM = PLAIN | {part: part for part in ("running_mean", "running_var", "num_batches_tracked")}
ATTENTION = {"gamma": "gamma"} | {
    f"{layer}_conv.{part}": f"{layer}.{part}" for layer in ("query", "key", "value") for part in PLAIN
}

# prefix in the source, without `module` -> (prefix here, {name in the source: name here} of the tensors under it)
G_PLACES = (
    {f"l{level}.0": (f"blocks.{2 ** (level + 1)}.conv", NORMALISED) for level in range(1, 5)}
    | {f"l{level}.1": (f"blocks.{2 ** (level + 1)}.norm", BATCH_NORM) for level in range(1, 5)}
    | {"attn1": ("attention.16", ATTENTION), "attn2": ("attention.32", ATTENTION), "last.0": ("last", PLAIN)}
)
D_PLACES = {f"l{level}.0": (f"blocks.{64 // 2**level}.0", NORMALISED) for level in range(1, 5)} | {
    "attn1": ("attention.8", ATTENTION),
    "attn2": ("attention.4", ATTENTION),
    "last.0": ("last", PLAIN),
}
TABLES = {"G": table_of(G_PLACES), "D": table_of(D_PLACES)}


def translate(source: State, kind: Kind) -> State:
    """Convert a state dict to that of a SAGANGenerator or SAGANDiscriminator (64 pixels, unpooled attention).

    The net needs spectral norm on `spectral_layers("blocks")` with rows="in".

    Raises:
        UserError: a key is not in the table, or a key of the table is missing.
    """
    table, named = TABLES[kind], dict[str, Tensor]()
    for key, value in source.items():
        # the source's spectral norm and DataParallel put `module` into keys
        name = ".".join(part for part in key.split(".") if part != "module")
        if name in named:
            raise _not_sagan(kind, f"{key} is a second tensor for {name}")
        named[name if name in table else key] = value
    return convert(named, table, partial(_not_sagan, kind))


def options(source_G: State, source_D: State | None = None) -> dict[str, str | int]:
    """The options of a run whose nets fit the converted weights, with widths from the shapes.

    Without the weights of the discriminator its width is 64, the default of the source.

    Raises:
        UserError: as translate().
    """
    generator = translate(source_G, "G")
    ngf, output_nc = generator["last.weight"].shape[:2]
    return {
        "model": "sagan",
        "crop_size": 64,
        "z_dim": generator["blocks.4.conv.parametrizations.weight.original"].shape[0],
        "ngf": ngf,
        "ndf": 64 if source_D is None else translate(source_D, "D")["blocks.32.0.bias"].shape[0],
        "output_nc": output_nc,
        "sn_scope": "blocks",
        "sn_rows": "in",
        "attn_form": "plain",
        "attn_res": "16,32",
        "attn_res_D": "8,4",
        "upsample": "deconv",
        "n_classes": 0,
        "norm": "batch",
    }


def _not_sagan(kind: Kind, facts: str) -> UserError:
    return UserError(
        f"these are not the weights of net {kind} of the 64-pixel SAGAN by heykeetae ({facts}): "
        f"use the *_{kind}.pth that its training saved"
    )
