"""How nets compute: device, precision, compilation, and fast or reference implementations."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from models.training.channels_last import is_faster_channels_last, to_channels_last
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
        if is_faster_channels_last(net, self.device, half=self.dtype is not None) and to_channels_last(net):
            self.channels_last = self.device.type == "cuda"

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
