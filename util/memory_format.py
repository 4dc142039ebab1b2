"""Channels-last weights, which make convolutions give channels-last features, where that is safe."""

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm


def to_channels_last(net: nn.Module) -> None:
    """Store the weights of convolutions channels-last, in place, unless the net has instance norms.

    torch's instance norm on the CPU (2.15) has wrong gradients where a batch of one meets a channels-last
    gradient, and no error tells.
    """
    if not any(isinstance(module, _InstanceNorm) for module in net.modules()):
        net.to(memory_format=torch.channels_last)
