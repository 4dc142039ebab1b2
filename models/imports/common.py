"""Parts that the converters share: reports of unexpected keys, and one power iteration."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
Kind = Literal["G", "D"]


def odd_keys(state: State, table: dict[str, str], unknown: list[str]) -> str:
    """A list of the `unknown` keys and of the keys of `table` that `state` lacks; empty if there are none."""
    missing = [key for key in table if key not in state]
    return "; ".join(_some(what, keys) for what, keys in (("unknown", unknown), ("missing", missing)) if keys)


@torch.no_grad()
def iterate(weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """One power iteration: W (rows, ...) and u (rows,) or (1, rows) -> the next u (rows,) and v (columns,)."""
    matrix = weight.flatten(1)
    v = F.normalize(matrix.T @ u.flatten(), dim=0)
    return F.normalize(matrix @ v, dim=0), v


def _some(what: str, keys: list[str]) -> str:
    return f"{what}: " + ", ".join(keys[:3]) + f" and {len(keys) - 3} more" * (len(keys) > 3)
