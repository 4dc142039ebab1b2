"""Updating parametrizations that follow the weights of a net, such as spectral norm."""

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList


def before_update(net: nn.Module, steps: int = 1) -> None:
    """Call before_update(weight) of every parametrization of `net` that has this method, `steps` times."""
    for module in net.modules():
        for parametrization in module if isinstance(module, ParametrizationList) else ():
            update = getattr(parametrization, "before_update", lambda weight: None)
            for _ in range(steps):
                update(module.original)
