"""Channels-last weights, which make convolutions give channels-last features, where that is safe and faster."""

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm


def is_faster_channels_last(net: nn.Module, device: torch.device, *, half: bool) -> bool:
    """Whether to_channels_last() makes a net faster; `half` = it computes in bfloat16 or float16.

    On a CPU the nets say so themselves. Tensor cores take half precision in this layout alone, and
    cuDNN converts what comes in another; in float32 it has fast kernels for the usual one.
    """
    if device.type == "cpu":
        return getattr(net, "likes_channels_last", False)
    return device.type == "cuda" and half


def to_channels_last(net: nn.Module) -> bool:
    """Store the weights of convolutions channels-last, in place, unless the net has instance norms; whether it was done.

    torch's instance norm on the CPU (2.15) has wrong gradients where a batch of one meets a channels-last
    gradient, and no error tells. On every device it makes its input contiguous first, so that each norm
    would cost two conversions: nets on an A100 were slower by a third (github.com/pytorch/pytorch/issues/59168).
    """
    kinds = [type(module) for module in net.modules()]
    if any(issubclass(kind, _InstanceNorm) for kind in kinds):
        return False
    net.to(memory_format=torch.channels_last)
    return any(issubclass(kind, _ConvNd) for kind in kinds)
