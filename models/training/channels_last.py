"""Channels-last weights, which make convolutions compute channels-last features, where that is safe and faster."""

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm


def is_faster_channels_last(net: nn.Module, device: torch.device, *, half: bool) -> bool:
    """Whether to_channels_last() makes a net faster; `half`: it computes in bfloat16 or float16.

    On a CPU a net has the attribute `likes_channels_last`. On a GPU, tensor cores need this layout in half
    precision, and cuDNN converts any other; in float32 cuDNN has fast kernels for the contiguous layout.
    """
    if device.type == "cpu":
        return getattr(net, "likes_channels_last", False)
    return device.type == "cuda" and half


def to_channels_last(net: nn.Module) -> bool:
    """Store the weights of convolutions channels-last, in place; return whether there are any.

    Nets with instance norm are left as they are. On the CPU, torch's instance norm (2.15) computes wrong gradients,
    without an error, for a batch of one with a channels-last gradient. On every device it copies its input to the
    contiguous layout, so each norm would cost two conversions: nets on an A100 became slower by a third
    (github.com/pytorch/pytorch/issues/59168).
    """
    kinds = [type(module) for module in net.modules()]
    if any(issubclass(kind, _InstanceNorm) for kind in kinds):
        return False
    net.to(memory_format=torch.channels_last)
    return any(issubclass(kind, _ConvNd) for kind in kinds)
