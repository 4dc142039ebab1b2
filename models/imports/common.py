"""Parts that the converters share: renaming by a table, and one power iteration."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from util.errors import UserError

State = dict[str, Tensor]
Kind = Literal["G", "D"]
# prefix in the source -> (prefix here, {name in the source: name here} of the tensors under it)
Places = dict[str, tuple[str, dict[str, str]]]


def table_of(places: Places) -> dict[str, str]:
    """Key in the source -> key here."""
    return {
        f"{theirs}.{part}": f"{ours}.{own}"
        for theirs, (ours, parts) in places.items()
        for part, own in parts.items()
    }


@torch.no_grad()
def convert(source: State, table: dict[str, str], error: Callable[[str], UserError]) -> State:
    """Rename the tensors of `source`, and update u and v of spectral norm.

    The sources compute v and the next u in every forward pass, in eval mode, too. The converted u and v are those
    after one more update, so that the output in eval mode equals the next output of the source. Numbers of batches
    may be missing (torch 0.3 did not count them).

    Raises:
        UserError: made by `error` from the list of unknown and missing keys.
    """
    unknown = [key for key in source if key not in table]
    missing = [key for key in table if key not in source and not key.endswith("num_batches_tracked")]
    odd = {"unknown": unknown, "missing": missing}
    if unknown or missing:
        raise error("; ".join(f"{what}: {_some(keys)}" for what, keys in odd.items() if keys))
    own = {ours: source[theirs] for theirs, ours in table.items() if theirs in source}
    for key in list(own):
        prefix, _, part = key.rpartition(".")
        if part == "original":
            matrix, u = own[key].flatten(1), own[f"{prefix}.0._u"].flatten()
            v = own[f"{prefix}.0._v"] = F.normalize(matrix.T @ u, dim=0)
            own[f"{prefix}.0._u"] = F.normalize(matrix @ v, dim=0)
        elif part == "running_mean":
            own.setdefault(f"{prefix}.num_batches_tracked", torch.tensor(0))
        elif part == "gamma":
            own[key] = own[key].reshape(())
    return own


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + f" and {len(keys) - 3} more" * (len(keys) > 3)
