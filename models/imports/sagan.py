"""Conversion of weights of github.com/heykeetae/Self-Attention-GAN (64 pixels, arXiv:1805.08318)."""

import torch

from models.imports.common import Kind, State, iterate, odd_keys
from util.errors import UserError

NORMALISED = {
    "bias": "bias",
    "weight_bar": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
PLAIN = {part: part for part in ("weight", "bias")}
BATCH_NORM = PLAIN | {part: part for part in ("running_mean", "running_var", "num_batches_tracked")}
ATTENTION = {
    "gamma": "gamma",
    "query_conv.weight": "query.weight",
    "query_conv.bias": "query.bias",
    "key_conv.weight": "key.weight",
    "key_conv.bias": "key.bias",
    "value_conv.weight": "value.weight",
    "value_conv.bias": "value.bias",
}

# prefix in the source, without `module` -> (prefix here, {name in the source: name here} of the tensors under it)
G_PLACES = {
    "l1.0": ("blocks.4.conv", NORMALISED),
    "l1.1": ("blocks.4.norm", BATCH_NORM),
    "l2.0": ("blocks.8.conv", NORMALISED),
    "l2.1": ("blocks.8.norm", BATCH_NORM),
    "l3.0": ("blocks.16.conv", NORMALISED),
    "l3.1": ("blocks.16.norm", BATCH_NORM),
    "attn1": ("attention.16", ATTENTION),
    "l4.0": ("blocks.32.conv", NORMALISED),
    "l4.1": ("blocks.32.norm", BATCH_NORM),
    "attn2": ("attention.32", ATTENTION),
    "last.0": ("last", PLAIN),
}
D_PLACES = {
    "l1.0": ("blocks.32.0", NORMALISED),
    "l2.0": ("blocks.16.0", NORMALISED),
    "l3.0": ("blocks.8.0", NORMALISED),
    "attn1": ("attention.8", ATTENTION),
    "l4.0": ("blocks.4.0", NORMALISED),
    "attn2": ("attention.4", ATTENTION),
    "last.0": ("last", PLAIN),
}
# key in the source, without `module` -> key here
TABLES = {
    kind: {
        f"{source}.{theirs}": f"{own}.{ours}"
        for source, (own, parts) in places.items()
        for theirs, ours in parts.items()
    }
    for kind, places in (("G", G_PLACES), ("D", D_PLACES))
}


def translate(source: State, kind: Kind) -> State:
    """Convert a state dict to that of a SAGANGenerator or SAGANDiscriminator (64 pixels, unpooled attention).

    The net needs spectral norm on `spectral_layers("blocks")` with rows="in". The source updates u and v in every
    forward pass, in eval mode, too. The converted u and v are those after one more update, so that the output in eval
    mode equals the next output of the source.

    Raises:
        UserError: a key is not in the table, or a key of the table is missing.
    """
    table = TABLES[kind]
    named = _named(source, kind)
    own = {ours: named[theirs] for theirs, ours in table.items()}
    for key in table.values():
        if key.endswith("gamma"):
            own[key] = own[key].reshape(())
        elif key.endswith(".original"):
            prefix = key.removesuffix("original")
            own[f"{prefix}0._u"], own[f"{prefix}0._v"] = iterate(own[key], own[f"{prefix}0._u"])
    return own


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


def _named(source: State, kind: Kind) -> State:
    """The tensors of the source by the keys of its table; UserError if they do not match the table."""
    table = TABLES[kind]
    # torch 0.3, for which the source was written, did not count batches, and the count is not used here
    found = {key: torch.tensor(0) for key in table if key.endswith("num_batches_tracked")}
    seen, unknown = set(), []
    for key, value in source.items():
        # the source's spectral norm and DataParallel put `module` into keys
        name = ".".join(part for part in key.split(".") if part != "module")
        if name not in table or name in seen:
            unknown.append(key)
        seen.add(name)
        found[name] = value
    facts = odd_keys(found, table, unknown)
    if facts:
        raise UserError(
            f"these are not the weights of net {kind} of the 64-pixel SAGAN by heykeetae ({facts}): "
            f"use the *_{kind}.pth that its training saved"
        )
    return found
