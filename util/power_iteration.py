"""Updating parametrizations that follow the weights of a net, such as spectral norm."""

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList


def before_update(net: nn.Module, steps: int = 1) -> None:
    """Call before_update(weight) of every parametrization of `net` that has this method.

    With `steps` > 1, after weights were replaced, call it that many times, or iterate(weight) if there is one.
    """
    for module in net.modules():
        for parametrization in module if isinstance(module, ParametrizationList) else ():
            update = getattr(parametrization, "before_update", lambda weight: None)
            if steps > 1:
                update = getattr(parametrization, "iterate", update)
            for _ in range(steps):
                update(module.original)
