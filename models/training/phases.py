"""Phases of a training step: which networks learn, from which loss terms, and how often."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from util.errors import UserError

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


def check_terms(phase: str, terms: Terms) -> None:
    """Raise UserError unless `terms` is name -> scalar tensor, with one at least."""
    if not isinstance(terms, dict) or not terms:
        raise UserError(f"phase {phase}: its method must return loss terms, a dict name -> scalar tensor")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            found = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
            raise UserError(f"phase {phase}: its loss term {name} must be a scalar tensor, not {found}")


IMAGE_KEYS = ("A", "B", "image")  # of batches
LARGEST = 1.5  # more than 1, because resampling of floats can exceed [-1, 1] a little


def check_range(batch: Batch, dataset_mode: str) -> None:
    """Raise UserError for images of a data set that are not in [-1, 1]."""
    for key in IMAGE_KEYS:
        images = batch.get(key)
        if isinstance(images, Tensor) and images.numel() and (largest := images.abs().max().item()) > LARGEST:
            raise UserError(
                f"--dataset_mode {dataset_mode} gives images {key} with values up to {largest:.4g}: return float32 "
                "in [-1, 1], for 8-bit images x / 127.5 - 1"
            )


def total(terms: Terms) -> Tensor:
    """The sum of the terms, in float32 at least."""
    values = [term if term.dtype == torch.float64 else term.float() for term in terms.values()]
    return torch.stack(values).sum()


def add_share(sums: Terms, terms: Terms, share: float) -> None:
    """Add share * terms to `sums`, in place and without gradients."""
    for name, term in terms.items():
        sums[name] = sums.get(name, torch.zeros_like(term.detach())) + share * term.detach()


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Cut every entry of a batch into `parts` equal pieces along its first axis."""
    if parts == 1:
        return [batch]
    size = len(next(iter(batch.values())))
    assert size % parts == 0, (size, parts)
    step = size // parts
    return [{key: value[i : i + step] for key, value in batch.items()} for i in range(0, size, step)]
