"""Instance norm with ReLU as one function: compiled C++ on the CPU, torch's two functions elsewhere."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.cpu.library import call, differentiable_gradients, require_shape, usable


def reference_norm(x: Tensor, relu: bool, eps: float) -> Tensor:
    """The same function by torch's operations: instance norm without weights, then ReLU if `relu`."""
    y = F.instance_norm(x, eps=eps)
    return F.relu(y) if relu else y


class InstanceNormReLU(torch.autograd.Function):
    """Saves only the input, where torch's norm and ReLU save input and output; takes gradients of any layout.

    torch's instance norm has wrong gradients on the CPU if N = 1 and the incoming gradient is channels-last.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, relu: bool, eps: float) -> Tensor:
        """(N, C, H, W), contiguous -> (N, C, H, W); raises ValueError for fewer than two pixels, as torch does."""
        if x.ndim != 4 or x.shape[2] * x.shape[3] < 2:
            raise ValueError(f"instance norm needs (N, C, H, W) with at least 2 pixels, not {tuple(x.shape)}")
        planes, size = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
        y, stats = torch.empty_like(x), x.new_empty(planes, 2)
        call("norm", x.dtype, x, y, stats, planes, size, relu, float(eps))  # 0 would be passed as a long
        ctx.save_for_backward(x, stats)
        ctx.relu, ctx.eps = relu, eps
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of x."""
        x, stats = ctx.saved_tensors
        gy = grads[0].contiguous()
        if torch.is_grad_enabled():  # create_graph: a gradient penalty differentiates this gradient
            reference = partial(reference_norm, relu=ctx.relu, eps=ctx.eps)
            return *differentiable_gradients(reference, (x,), (True,), gy), None, None
        require_shape("the gradient", gy, *x.shape)
        gx = torch.empty_like(x)
        planes, size = x.shape[0] * x.shape[1], x.shape[2] * x.shape[3]
        call("norm_grad", x.dtype, gy, x, stats, gx, planes, size, ctx.relu)
        return gx, None, None


class FusedInstanceNorm(nn.InstanceNorm2d):
    """nn.InstanceNorm2d without weights and statistics, followed by ReLU if `relu`."""

    def __init__(self, channels: int, eps: float, *, relu: bool) -> None:
        super().__init__(channels, eps)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not usable(x):
            y = super().forward(x)
            return F.relu(y) if self.relu else y
        # contiguous() outside the function: a copy made inside would have no second derivatives
        return InstanceNormReLU.apply(x.contiguous(), self.relu, self.eps)

    def extra_repr(self) -> str:
        return super().extra_repr() + ", followed by ReLU" * self.relu
