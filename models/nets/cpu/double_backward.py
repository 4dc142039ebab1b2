"""Gradients that can be differentiated again: the compiled functions leave them to torch's own operations."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients(
    reference: Callable[..., Tensor], inputs: Sequence[Tensor | None], needs: Sequence[bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient of each input that needs one, None for the others, with a graph of its own.

    `reference` computes the compiled function with torch's operations; `grad` is the gradient of its output.
    """
    chosen = [tensor for tensor, needed in zip(inputs, needs, strict=True) if needed]
    found = iter(torch.autograd.grad(reference(*inputs), chosen, grad, create_graph=True))  # type: ignore[arg-type]
    return tuple(next(found) if needed else None for needed in needs)
