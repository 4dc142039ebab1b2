"""Storing the weights of convolutions channels-last, so that they compute channels-last features."""

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm


def is_faster_channels_last(net: nn.Module, device: torch.device, *, half: bool) -> bool:
    """Whether to_channels_last() makes a net faster; `half`: it computes in bfloat16 or float16.

    On a CPU the net's attribute `likes_channels_last` decides. On a GPU, tensor cores need this layout in half
    precision, and in float32 cuDNN has fast kernels for the contiguous layout.
    """
    if device.type == "cpu":
        return getattr(net, "likes_channels_last", False)
    return device.type == "cuda" and half


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
