"""Phases of a training step: which networks learn, from which loss terms, and how often."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor | list[str]]
Terms = dict[str, Tensor]

GENERATOR, DISCRIMINATOR = "generator", "discriminator"  # the roles of networks that flags refer to


@dataclass(frozen=True)
class Phase:
    """One optimizer update: minimise scale * sum(terms()) over the weights of `nets`, every `every` steps."""

    name: str
    role: str  # of the networks that learn
    nets: tuple[str, ...]
    terms: Callable[[], Terms]
    optimizer: torch.optim.Optimizer
    every: int
    scale: float

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def total(terms: Terms) -> Tensor:
    """The sum of the terms, in float32 at least."""
    values = [term if term.dtype == torch.float64 else term.float() for term in terms.values()]
    return torch.stack(values).sum()


def add_share(sums: Terms, terms: Terms, share: float) -> None:
    """Add share * terms to `sums`, in place and without gradients."""
    for name, term in terms.items():
        sums[name] = sums.get(name, torch.zeros_like(term.detach())) + share * term.detach()


def checked_progress(terms: dict[str, Terms], steps: int) -> tuple[dict[str, Terms], int]:
    """Return the loaded terms of each phase and the number of steps; raises ValueError if they cannot be that."""
    values = [value for phase in terms.values() for value in phase.values()]
    if not all(isinstance(value, Tensor) and value.ndim == 0 for value in values):
        raise ValueError("the saved loss terms are not numbers")
    if type(steps) is not int or steps < 0:
        raise ValueError(f"{steps} is not a number of steps")
    return terms, steps


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Cut every entry of a batch into `parts` equal pieces along its first axis."""
    if parts == 1:
        return [batch]
    size = len(next(iter(batch.values())))
    assert size % parts == 0, (size, parts)
    step = size // parts
    return [{key: value[i : i + step] for key, value in batch.items()} for i in range(0, size, step)]
