"""3 x 3 and strided 4 x 4 convolutions by Winograd's algorithms F(4x4, 3x3) and F(4x4, 2x2) (arXiv:1509.09308).

They take 1/4 and 1/2.56 of the multiplications. Compiled C++ computes them on the CPU in float32 and float64,
torch's convolution everywhere else. The relative error in float32 is 1e-6 to 6e-6, that of torch's is 5e-7.
"""

import ctypes
import math
import threading
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.cpu.library import call, differentiable_gradients, require_shape, usable

LEAST_TILES = 64  # of 4 x 4 output pixels; with fewer, the compiled form is not faster
Maybe = Tensor | None
_scratch_of_thread = threading.local()


class Kind(IntEnum):
    """Which convolution is computed; the numbers are those of the C++, where DOUBLING is the adjoint of HALVING."""

    UNPADDED = 0  # 3x3, stride 1
    ZEROS = 1  # 3x3, stride 1, zero padding of 1
    REFLECTED = 2  # 3x3, stride 1, reflection padding of 1
    HALVING = 3  # 4x4, stride 2, zero padding of 1
    DOUBLING = 4  # its transpose


class Shape(NamedTuple):
    """The C++ struct Shape: input (N, C, H, W), K output channels, and a Kind."""

    N: int
    C: int
    K: int
    H: int
    W: int
    kind: int


def reference_conv(x: Tensor, weight: Tensor, bias: Tensor | None, kind: Kind) -> Tensor:
    """The same convolution by torch."""
    if kind is Kind.DOUBLING:
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
    if kind is Kind.REFLECTED:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
    padded = kind in (Kind.ZEROS, Kind.HALVING)
    return F.conv2d(x, weight, bias, stride=2 if kind is Kind.HALVING else 1, padding=int(padded))


class Winograd(torch.autograd.Function):
    """The compiled form with its exact gradients; second derivatives come from torch's convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, kind: Kind) -> Tensor:
        """x (N, C, H, W), weight (K, C, k, k) (DOUBLING: (C, K, 4, 4)), bias (K,), contiguous -> (N, K, H', W').

        Raises:
            ValueError: the shapes do not fit together, or torch's convolution refuses an image of this size.
        """
        if x.ndim != 4 or weight.ndim != 4:
            raise ValueError(f"{tuple(x.shape)} with weights {tuple(weight.shape)} is not a 2D convolution")
        ctx.save_for_backward(x, weight, bias)
        ctx.kind = kind
        if kind is Kind.DOUBLING:
            y = x.new_empty(len(x), weight.shape[1], 2 * x.shape[2], 2 * x.shape[3])
            _adjoint(_shape(y, weight, Kind.HALVING), x, None, weight, bias, y, None)
            return y
        return _convolution(x, weight, bias, kind)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight and bias."""
        gy, (x, weight, bias) = grads[0], ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # create_graph: a gradient penalty differentiates this gradient
            reference = partial(reference_conv, kind=ctx.kind)
            return *differentiable_gradients(reference, (x, weight, bias), needs, gy), None
        gy = gy.contiguous()
        gw = torch.empty_like(weight) if needs[1] else None
        if ctx.kind is Kind.DOUBLING:
            gx = _convolution(gy, weight, None, Kind.HALVING) if needs[0] else None
            if needs[1]:
                _adjoint(_shape(gy, weight, Kind.HALVING), x, gy, weight, None, None, gw)
        else:
            gx = torch.empty_like(x) if needs[0] else None
            if needs[0] or needs[1]:
                _adjoint(_shape(x, weight, ctx.kind), gy, x, weight, None, gx, gw)
        return gx, gw, gy.sum((0, 2, 3)) if needs[2] else None, None


class WinogradConv2d(nn.Conv2d):
    """An nn.Conv2d that has a Kind."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(N, C, H, W) -> (N, K, H', W')."""
        kind = kind_of(self)
        assert kind is not None
        if not worth_winograd(x, weight, kind):
            return super()._conv_forward(x, weight, bias)
        return _compiled(x, weight, bias, kind)


class WinogradConvTranspose2d(nn.ConvTranspose2d):
    """An nn.ConvTranspose2d of kind DOUBLING."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, C, H, W) -> (N, K, 2H, 2W)."""
        if output_size is not None:
            return super().forward(x, output_size)
        weight = self.weight
        if not worth_winograd(x, weight, Kind.DOUBLING):
            return reference_conv(x, weight, self.bias, Kind.DOUBLING)
        return _compiled(x, weight, self.bias, Kind.DOUBLING)


# kind of stride 1 -> (least side of an image that torch accepts, pixels by which the output is smaller)
SIDES: dict[int, tuple[int, int]] = {Kind.UNPADDED: (3, 2), Kind.ZEROS: (1, 0), Kind.REFLECTED: (2, 0)}
# (transposed, side of the kernel, stride, padding, padding mode) -> kind
KINDS: dict[tuple[object, ...], Kind] = {
    (False, 3, 1, 0, "zeros"): Kind.UNPADDED,
    (False, 3, 1, 1, "zeros"): Kind.ZEROS,
    (False, 3, 1, 1, "reflect"): Kind.REFLECTED,
    (False, 4, 2, 1, "zeros"): Kind.HALVING,
    (True, 4, 2, 1, "zeros"): Kind.DOUBLING,
}


def kind_of(module: nn.Module) -> Kind | None:
    """The kind of a convolution; None if there is no compiled form of it, or the module is not a convolution."""
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return None
    pairs = (module.kernel_size, module.stride, module.padding)
    dense = module.groups == 1 and module.dilation == (1, 1) and module.output_padding == (0, 0)
    if not dense or any(pair[0] != pair[1] for pair in pairs):
        return None
    return KINDS.get((module.transposed, *(int(pair[0]) for pair in pairs), module.padding_mode))


def worth_winograd(x: Tensor, weight: Tensor, kind: Kind) -> bool:
    """Whether the compiled form can run on x and is faster."""
    scale = 2 if kind is Kind.HALVING else 1
    tiles = len(x) * math.prod(-(-side // (4 * scale)) for side in x.shape[2:])
    return tiles >= LEAST_TILES and x.dtype == weight.dtype and usable(x)


def _compiled(x: Tensor, weight: Tensor, bias: Tensor | None, kind: Kind) -> Tensor:
    # contiguous() outside the function: copies made inside would have no second derivatives
    bias = bias if bias is None else bias.contiguous()
    return Winograd.apply(x.contiguous(), weight.contiguous(), bias, kind)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, kind: Kind) -> Tensor:
    shape = _shape(x, weight, kind)
    y = x.new_empty(_check(shape, x, weight))
    require_shape("bias", bias, shape.K)
    call("forward", x.dtype, x, weight, bias, y, *_scratch(shape, x.dtype, "U", "V", "M"), shape)
    return y


def _adjoint(shape: Shape, gy: Tensor, x: Maybe, weight: Tensor, start: Maybe, gx: Maybe, gw: Maybe) -> None:
    """Write gx, to which `start` (C,) is added, and gw, which needs x; None = not computed.

    gx and gw are as large as the image (N, C, H, W) and the weight.
    """
    require_shape("the input" if x is None else "the gradient", gy, *_check(shape, x, weight))
    require_shape("bias", start, shape.C)
    scratch = _scratch(shape, gy.dtype, "U", "V", "M", "dU")
    call("backward", gy.dtype, gy, x, weight, start, gx, gw, *scratch, shape)


def _check(shape: Shape, x: Tensor | None, weight: Tensor) -> tuple[int, ...]:
    """The shape of the output; raises ValueError if the image and the weight do not have the sizes of `shape`."""
    n, c, k, height, width, kind = shape
    if kind != Kind.HALVING and kind not in SIDES:
        raise ValueError(f"{kind} is no kind of convolution with stride 1 or 2")
    side, least, shrinks = (4, 2, 0) if kind == Kind.HALVING else (3, *SIDES[kind])
    require_shape("weight", weight, k, c, side, side)
    require_shape("the input", x, n, c, height, width)
    if min(height, width) < least or not n:
        raise ValueError(
            f"this convolution needs images of at least {least} x {least}, not {height} x {width}"
        )
    if kind == Kind.HALVING:
        return n, k, height // 2, width // 2
    return n, k, height - shrinks, width - shrinks


def _shape(x: Tensor, weight: Tensor, kind: Kind) -> Shape:
    n, c, height, width = x.shape
    return Shape(n, c, len(weight), height, width, kind)


def _scratch(shape: Shape, dtype: torch.dtype, *names: str) -> list[Tensor]:
    """Memory for the transformed filters U, input V and output M, and for the gradient dU.

    It is kept between calls, because page faults of new memory take as long as a transform.
    """
    kept: dict[tuple[str, torch.dtype], Tensor] = _scratch_of_thread.__dict__.setdefault("kept", {})
    counts = (ctypes.c_long * 3)()
    call("sizes", dtype, shape, counts)
    sizes = dict(zip(("U", "V", "M", "dU"), (*counts, counts[0]), strict=True))
    for name in names:
        if (name, dtype) not in kept or kept[name, dtype].numel() < sizes[name]:
            kept[name, dtype] = torch.empty(sizes[name], dtype=dtype)
    return [kept[name, dtype] for name in names]
