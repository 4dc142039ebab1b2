"""What the translators have in common: which keys are strange, and the next step of a power iteration."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
Kind = Literal["G", "D"]


def odd_keys(state: State, table: dict[str, str], unknown: list[str]) -> str:
    """`unknown` keys of a source and those of its table that `state` lacks, in words; empty where there are none."""
    missing = [key for key in table if key not in state]
    facts = [_some(what, keys) for what, keys in (("unknown", unknown), ("missing", missing)) if keys]
    return "; ".join(facts)


@torch.no_grad()
def iterate(weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """One power iteration, W (rows, ...) along dimension 0, u (rows,) or (1, rows) -> the next u (rows,) and v (columns,)."""
    matrix = weight.flatten(1)
    v = F.normalize(matrix.T @ u.flatten(), dim=0)
    return F.normalize(matrix @ v, dim=0), v


def _some(what: str, keys: list[str]) -> str:
    return f"{what}: " + ", ".join(keys[:3]) + f" and {len(keys) - 3} more" * (len(keys) > 3)
