"""Letting parametrizations that follow a net's weights (spectral norm) take their steps."""

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList


def before_update(net: nn.Module, steps: int = 1) -> None:
    """Call before_update(weight) of every parametrization in `net` that has it: once an update, or to catch up."""
    for module in net.modules():
        if not isinstance(module, ParametrizationList):
            continue
        for parametrization in module:
            follow = getattr(parametrization, "before_update", None)
            if follow is not None:
                for _ in range(steps):
                    follow(module.original)
