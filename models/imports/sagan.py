"""Weights of the well-known SAGAN code by heykeetae (64 pixels, arXiv:1805.08318), as those of our nets."""

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

# source prefix, without `module` -> (our prefix, parts under it: the source's name -> ours)
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
# source key, without `module` -> our key
TABLES = {
    kind: {
        f"{source}.{theirs}": f"{own}.{ours}"
        for source, (own, parts) in places.items()
        for theirs, ours in parts.items()
    }
    for kind, places in (("G", G_PLACES), ("D", D_PLACES))
}


def translate(source: State, kind: Kind) -> State:
    """The state dict of a SAGANGenerator or SAGANDiscriminator (64 pixels, plain attention) from the source's.

    The net needs spectral norm on `spectral_layers("blocks")` with rows="in". The source iterates u and v
    once more in every forward, in eval mode, too; here they are those after that iteration, so that our
    output in eval mode equals the source's next one.

    Raises:
        UserError: a key is not in the table, or one of the table is missing.
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
    """What a run's options have to say for its nets to take the translated weights, widths read from the shapes.

    Without the discriminator's weights its width is taken to be 64, the source's default.

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
    """The source's tensors by the keys of its table, all of them; UserError otherwise."""
    table = TABLES[kind]
    # torch 0.3, which the source was written for, did not count batches, and nothing here reads the count
    found = {key: torch.tensor(0) for key in table if key.endswith("num_batches_tracked")}
    seen, unknown = set(), []
    for key, value in source.items():
        # `module` is put into keys by the source's spectral norm and by DataParallel
        name = ".".join(part for part in key.split(".") if part != "module")
        if name not in table or name in seen:
            unknown.append(key)
        seen.add(name)
        found[name] = value
    facts = odd_keys(found, table, unknown)
    if facts:
        raise UserError(
            f"these are not the weights of net {kind} of the 64-pixel SAGAN by heykeetae ({facts}): "
            f"give the *_{kind}.pth that its training saved"
        )
    return found
