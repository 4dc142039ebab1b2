"""How nets are compiled on which device, and where compiled nets stand back for plain ones."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def how_to_compile(net: nn.Module, device: torch.device, *, static: bool) -> dict[str, str | bool]:
    """Arguments of net.compile(); `static` = it is trained on batches of one size.

    CUDA graphs, which replay a whole pass as one launch, need static shapes and a pass that does not
    speak to other processes, as synchronised batch norm does. Who uses them calls begin_step().
    """
    alone = not any(isinstance(module, nn.SyncBatchNorm) for module in net.modules())
    if device.type == "cuda" and static and alone:
        return {"mode": "reduce-overhead", "dynamic": False}
    return {}


def begin_step(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """A step begins: graphs may write over all outputs and gradients of the one before.

    Without the mark each call of a compiled net whose backward is not awaited (fakes made without a
    gradient, say) would count as a step of its own, and its output be overwritten before it is used.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    torch.compiler.cudagraph_mark_step_begin()


def is_compiled(net: nn.Module) -> bool:
    return getattr(net, "_compiled_call_impl", None) is not None


@contextmanager
def eager_call(*nets: nn.Module) -> Iterator[None]:
    """Within the context nets that are compiled run as if they were not.

    For derivatives of derivatives, which compiled nets have not, and for passes too rare to be worth
    compiling: without a gradient, with hooks, or with other sizes each is a form of its own.
    """
    if not any(is_compiled(net) for net in nets):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
