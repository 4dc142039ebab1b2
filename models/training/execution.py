"""How nets compute: device, precision, compilation, and fast or reference implementations."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from util.compiling import begin_step, how_to_compile
from util.reference_path import reference_path

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Execution:
    """Implements --amp, --compile and --fast on `device`; `static`: all training images have the same size."""

    def __init__(self, device: torch.device, *, amp: str, compiled: bool, fast: bool, static: bool) -> None:
        self.device, self.fast, self.compiled = device, fast, compiled
        self.dtype = AMP_DTYPES.get(amp)  # of autocast; None: no autocast
        self.static = static and fast
        self.channels_last = False  # whether images are converted to channels-last
        self.graphs = False  # whether a net replays CUDA graphs
        if device.type == "cuda" and self.static:
            torch.backends.cudnn.benchmark = True  # search for the fastest kernels once for each shape

    def speed_up(self, net: nn.Module) -> None:
        """Replace layers of a net by faster ones in place; call it before the net is copied."""
        if not self.fast:
            return
        if self.device.type == "cpu" and self.dtype is None and not self.compiled:
            getattr(net, "speed_up", lambda: None)()
        # on a GPU, tensor cores need this layout; in float32 cuDNN has fast kernels for the contiguous one
        on_gpu = self.device.type == "cuda" and self.dtype is not None
        on_cpu = self.device.type == "cpu" and getattr(net, "likes_channels_last", False)
        if (on_gpu or on_cpu) and to_channels_last(net):
            self.channels_last = on_gpu

    def compile(self, net: nn.Module) -> None:
        """Compile a net in place if --compile is given; the keys of its state_dict stay the same."""
        if self.compiled:
            how = how_to_compile(net, self.device, static=self.static)
            self.graphs |= "mode" in how
            net.compile(**how)

    def place(self, value: Tensor) -> Tensor:
        """Move a part of a batch to the device; images (N, C, H, W) get the memory format of the nets."""
        value = value.to(self.device, non_blocking=True)
        images = self.channels_last and value.ndim == 4
        return value.contiguous(memory_format=torch.channels_last) if images else value

    def begin_step(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        if self.graphs:
            begin_step(optimizers)

    @contextmanager
    def autocast_context(self) -> Iterator[None]:
        """Within the context nets compute in the precision of --amp, with --fast off on the reference path."""
        autocast = torch.autocast(self.device.type, self.dtype, self.dtype is not None)
        with reference_path(not self.fast), autocast:
            yield


def to_channels_last(net: nn.Module) -> bool:
    """Store the weights of convolutions channels-last, in place; return whether there are any.

    Nets with instance norm do not change. On the CPU, torch's instance norm (2.15) computes wrong gradients, without
    an error, for a batch of one with a channels-last gradient. On every device it copies its input to the contiguous
    layout; nets on an A100 became slower by a third (github.com/pytorch/pytorch/issues/59168).
    """
    modules = list(net.modules())
    if any(isinstance(module, _InstanceNorm) for module in modules):
        return False
    net.to(memory_format=torch.channels_last)
    return any(isinstance(module, _ConvNd) for module in modules)


@contextmanager
def eval_mode(nets: nn.Module, *, keep_statistics: bool) -> Iterator[None]:
    """Within the context `nets` are in eval mode; without `keep_statistics`, batch norm and dropout are not."""
    modes = {module: module.training for module in nets.modules()}
    nets.eval()
    for module in nets.modules():
        if not keep_statistics and isinstance(module, _BatchNorm | _DropoutNd):
            module.train()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
