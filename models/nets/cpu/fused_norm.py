"""Instance norm with ReLU as one function on the CPU, by our own C++; torch's two elsewhere."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.cpu import double_backward
from models.nets.cpu.library import call, usable


def plain_norm(x: Tensor, relu: bool, eps: float) -> Tensor:
    """What everything here equals: torch's instance norm without weights, and ReLU where `relu` says so."""
    y = F.instance_norm(x, eps=eps)
    return F.relu(y) if relu else y


class InstanceNormReLU(torch.autograd.Function):
    """Saves the input alone, where torch's norm and ReLU save input and output; takes gradients of any layout.

    torch's own has wrong gradients on the CPU where N = 1 and the gradient that comes in is channels-last.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, relu: bool, eps: float) -> Tensor:
        """(N, C, H, W), contiguous -> the same."""
        planes, size = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
        y, stats = torch.empty_like(x), x.new_empty(planes, 2)
        call("norm", x.dtype, x, y, stats, planes, size, relu, eps)
        ctx.save_for_backward(x, stats)
        ctx.relu, ctx.eps = relu, eps
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of x."""
        (gy,) = grads
        x, stats = ctx.saved_tensors
        gy = gy.contiguous()
        if torch.is_grad_enabled():  # create_graph: a gradient penalty differentiates what follows
            plain = partial(plain_norm, relu=ctx.relu, eps=ctx.eps)
            return *double_backward.gradients(plain, (x,), (True,), gy), None, None
        gx = torch.empty_like(x)
        planes, size = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
        call("norm_grad", x.dtype, gy, x, stats, gx, planes, size, ctx.relu)
        return gx, None, None


class FusedInstanceNorm(nn.InstanceNorm2d):
    """nn.InstanceNorm2d without weights and statistics, with ReLU where `relu` says so."""

    relu: bool = False

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not usable(x):
            return plain_norm(x, self.relu, self.eps)
        # a copy made within the function would have no second derivatives
        return InstanceNormReLU.apply(x.contiguous(), self.relu, self.eps)

    def extra_repr(self) -> str:
        return super().extra_repr() + ", followed by ReLU" * self.relu


def convert(norm: nn.InstanceNorm2d, *, relu: bool) -> None:
    """Make `norm` a FusedInstanceNorm in place; with `relu` it does the ReLU behind it, too."""
    assert not norm.affine and not norm.track_running_stats, norm
    norm.__class__ = FusedInstanceNorm
    assert isinstance(norm, FusedInstanceNorm)
    norm.relu = relu
