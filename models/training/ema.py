"""Exponential moving averages of the weights of named nets."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from util.run import weights


class EMA:
    """Copies ("shadows") that follow their nets: shadow <- d * shadow + (1 - d) * net.

    After n updates d = min(decay, (1 + n) / (10 + n)), so that the random initial weights soon lose their influence.
    With `start` > 0, shadows are copies of their nets until update `start`, and then d = decay, as in BigGAN-PyTorch.
    Buffers are copied: an average of the singular vectors of spectral norm is not a singular vector.
    """

    def __init__(self, decay: float, start: int = 0) -> None:
        self.decay, self.start = decay, start
        self.shadows = nn.ModuleDict()
        self.updates = 0

    def track(self, name: str, net: nn.Module) -> None:
        """Average `net` from now on, unless the decay is 0."""
        if self.decay > 0:
            self.shadows[name] = deepcopy(net).requires_grad_(False)

    @torch.no_grad()
    def update(self, nets: nn.ModuleDict) -> None:
        if self.start:
            decay = self.decay if self.updates + 1 >= self.start else 0.0
        else:
            decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, shadow in self.shadows.items():
            net = nets[name]
            # _foreach: a GPU updates hundreds of small tensors of one dtype in one launch
            weights: list[Tensor] = [*shadow.parameters()]
            if weights:  # some nets, such as nn.Upsample, have none
                torch._foreach_lerp_(weights, [*net.parameters()], 1 - decay)
            for dtype in {buffer.dtype for buffer in shadow.buffers()}:
                old, new = ([b for b in module.buffers() if b.dtype == dtype] for module in (shadow, net))
                torch._foreach_copy_(old, new)
        self.updates += 1

    @torch.no_grad()
    def restart(self, nets: nn.ModuleDict) -> None:
        """Set every shadow to its net, after weights were loaded."""
        for name, shadow in self.shadows.items():
            shadow.load_state_dict(nets[name].state_dict())

    def load(self, folder: Path, epoch: int | str) -> None:
        """Take over the averages `<epoch>_net_<name>_ema.pth`, if all exist, and go on with the full decay."""
        if all((folder / f"{epoch}_net_{name}_ema.pth").exists() for name in self.shadows):
            weights.load_nets(dict(self.shadows.items()), folder, epoch, averaged=True)
            self.updates = max(self.start, math.ceil((10 * self.decay - 1) / (1 - self.decay)))

    @contextmanager
    def applied_to(self, nets: nn.ModuleDict) -> Iterator[None]:
        """Within the context the tracked nets hold their averaged weights."""
        live = {name: deepcopy(nets[name].state_dict()) for name in self.shadows}
        for name, shadow in self.shadows.items():
            nets[name].load_state_dict(shadow.state_dict())
        try:
            yield
        finally:
            for name, state in live.items():
                nets[name].load_state_dict(state)

    def state_dict(self) -> dict:
        return {"shadows": self.shadows.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict) -> None:
        if type(state["updates"]) is not int:
            raise ValueError(f"{state['updates']} is not a number of updates")
        self.shadows.load_state_dict(state["shadows"])
        self.updates = state["updates"]
