"""The most that this machine was seen to compute: matrix products and convolutions of kind sizes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

TRIES = 5
# batch, channels in and out, side; the shapes of our own wide layers among them
CONVOLUTIONS = {"cpu": [(1, 256, 64), (4, 256, 64), (8, 128, 64)], "cuda": [(16, 256, 64), (64, 256, 64)]}
MATRIX_SIDES = {"cpu": [1024, 2048], "cuda": [8192]}


@dataclass(frozen=True)
class Ceiling:
    """FLOP/s of the best matrix product and the best 3x3 convolution; bf16 on CUDA, else fp32."""

    product: float
    convolution: float
    dtype: torch.dtype

    @property
    def best(self) -> float:
        return max(self.product, self.convolution)

    def __str__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        product, convolution = (f"{value / 1e9:.0f} GFLOP/s" for value in (self.product, self.convolution))
        return (
            f"best seen of this machine, {kind}: {product} of matrix products, {convolution} of convolutions"
        )


@torch.no_grad()
def find_ceiling(device: str) -> Ceiling:
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    product = max(_product(side, device, dtype) for side in MATRIX_SIDES[device])
    convolution = max(_convolution(shape, device, dtype) for shape in CONVOLUTIONS[device])
    return Ceiling(product, convolution, dtype)


def _product(side: int, device: str, dtype: torch.dtype) -> float:
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return _speed(lambda: a @ b, 2.0 * side**3, device)


def _convolution(shape: Sequence[int], device: str, dtype: torch.dtype) -> float:
    count, channels, side = shape
    x = torch.randn(count, channels, side, side, device=device, dtype=dtype)
    weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
    if device == "cuda":
        x, weight = (tensor.to(memory_format=torch.channels_last) for tensor in (x, weight))
    flops = 2.0 * count * side**2 * channels**2 * 9
    return _speed(lambda: F.conv2d(x, weight, padding=1), flops, device)


def _speed(work: Callable[[], object], flops: float, device: str) -> float:
    """FLOP/s of the quickest of a few runs."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    best = 0.0
    for _ in range(TRIES):
        wait()
        start = time.perf_counter()
        work()
        wait()
        best = max(best, flops / (time.perf_counter() - start))
    return best
