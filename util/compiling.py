"""How nets are compiled on each device, and where compiled nets run eagerly."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn


def how_to_compile(net: nn.Module, device: torch.device, *, static: bool) -> dict[str, str | bool]:
    """Arguments for net.compile(); `static` = the net is trained on batches of one size.

    On GPUs CUDA graphs replay a whole pass as one launch. They need static shapes and a pass without communication
    between processes, so no synchronised batch norm. Callers must call begin_step() in each step.
    """
    communicates = any(isinstance(module, nn.SyncBatchNorm) for module in net.modules())
    if device.type == "cuda" and static and not communicates:
        return {"mode": "reduce-overhead", "dynamic": False}
    return {}


def begin_step(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Mark the beginning of a step, in which CUDA graphs can overwrite the outputs and gradients of the previous one.

    Without the mark, each call of a compiled net without a backward pass counts as a step, and its output is
    overwritten before it is used.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    torch.compiler.cudagraph_mark_step_begin()


@contextmanager
def eager_call(*nets: nn.Module) -> Iterator[None]:
    """Within the context compiled nets run eagerly.

    Compiled nets have no second derivatives, and rare passes (other sizes, hooks) are not worth a compilation each.
    """
    compiled = any(getattr(net, "_compiled_call_impl", None) for net in nets)
    with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        yield
