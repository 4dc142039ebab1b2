"""3x3 convolutions by Winograd's F(4x4, 3x3) (Lavin & Gray 2015, arXiv:1509.09308), a quarter of the products.

On the CPU in float32 and float64 by our own C++; everywhere else by torch's own convolution. The relative
error in float32 is 3e-6 where that of the direct convolution is 5e-7.
"""

import threading
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.native.library import Shape, call, sizes, usable

_own = threading.local()


def direct(x: Tensor, weight: Tensor, bias: Tensor | None, pad: int) -> Tensor:
    """What everything here equals: torch's convolution after `pad` (0 or 1) pixels of reflection padding."""
    return F.conv2d(F.pad(x, (pad,) * 4, mode="reflect") if pad else x, weight, bias)


class Winograd(torch.autograd.Function):
    """The compiled form with its exact adjoints; second derivatives by torch's convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pad: int) -> Tensor:
        """x (N, C, H, W), weight (K, C, 3, 3), bias (K,) -> (N, K, H - 2 + 2 pad, W - 2 + 2 pad)."""
        shape = Shape(len(x), x.shape[1], len(weight), *x.shape[2:], pad)
        y = x.new_empty(len(x), len(weight), x.shape[2] - 2 + 2 * pad, x.shape[3] - 2 + 2 * pad)
        call("forward", x.dtype, x, weight, bias, y, *_scratch(shape, x.dtype), shape)
        ctx.save_for_backward(x, weight, bias)
        ctx.pad = pad
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight and bias."""
        (gy,) = grads
        x, weight, bias = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # create_graph: a gradient penalty differentiates what follows
            wanted = [one for one, needed in zip((x, weight, bias), needs, strict=True) if needed]
            found = iter(torch.autograd.grad(direct(x, weight, bias, ctx.pad), wanted, gy, create_graph=True))
            return *(next(found) if needed else None for needed in needs), None
        gx = torch.empty_like(x) if needs[0] else None
        gw = torch.empty_like(weight) if needs[1] else None
        gy = gy.contiguous()
        if needs[0] or needs[1]:
            shape = Shape(len(x), x.shape[1], len(weight), *x.shape[2:], ctx.pad)
            U, V, M = _scratch(shape, x.dtype)
            dU = _kept("dU", U.numel(), x.dtype)
            call("backward", x.dtype, gy, x, weight, gx, gw, U, V, M, dU, shape)
        return gx, gw, gy.sum((0, 2, 3)) if needs[2] else None, None


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution with stride 1, unpadded or reflection-padded by 1; same parameters, same state_dict."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, H', W')."""
        pad = int(self.padding[0])
        if not usable(x) or x.dtype != self.weight.dtype:
            return direct(x, self.weight, self.bias, pad)
        # copies made within the function would have no second derivatives
        return Winograd.apply(x.contiguous(), self.weight.contiguous(), self.bias, pad)


def convert(conv: nn.Conv2d, *, reflect: bool) -> None:
    """Make `conv` (3x3, stride 1, unpadded) a WinogradConv2d in place; with `reflect` it pads by itself."""
    assert is_plain_3x3(conv), conv
    if reflect:
        conv.padding, conv.padding_mode = (1, 1), "reflect"
        conv._reversed_padding_repeated_twice = [1, 1, 1, 1]
    conv.__class__ = WinogradConv2d


def is_plain_3x3(module: nn.Module) -> bool:
    """A 3x3 convolution with stride 1, unpadded, without groups, whose weight is a parameter and no function of one."""
    if type(module) is not nn.Conv2d:
        return False
    places = (module.kernel_size, module.stride, module.padding, module.dilation, module.groups)
    return places == ((3, 3), (1, 1), (0, 0), (1, 1), 1)


def _scratch(shape: Shape, kind: torch.dtype) -> list[Tensor]:
    """Memory for U, V and M."""
    return [_kept(name, size, kind) for name, size in zip(("U", "V", "M"), sizes(shape, kind), strict=True)]


def _kept(name: str, size: int, kind: torch.dtype) -> Tensor:
    """Memory kept from call to call: fresh pages would cost as much as a transform."""
    kept: dict[tuple[str, torch.dtype], Tensor] = _own.__dict__.setdefault("kept", {})
    if (name, kind) not in kept or kept[name, kind].numel() < size:
        kept[name, kind] = torch.empty(size, dtype=kind)
    return kept[name, kind]
