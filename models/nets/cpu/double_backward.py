"""Gradients that can be differentiated again, which the compiled functions leave to torch's own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients(
    plain: Callable[..., Tensor], inputs: Sequence[Tensor | None], needs: Sequence[bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Of each input of `plain`, which does what the compiled function does, where it is needed; `grad` is the output's."""
    wanted = [one for one, needed in zip(inputs, needs, strict=True) if needed]
    found = iter(torch.autograd.grad(plain(*inputs), wanted, grad, create_graph=True))  # type: ignore[arg-type]
    return tuple(next(found) if needed else None for needed in needs)
