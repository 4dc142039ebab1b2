"""Measures how many FLOP/s this machine reaches in its best matrix product and its best convolution."""

from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.benchmark import Timer

TRIES = 5
# batch, channels in and out, side; the shapes of wide layers of the models are among them
CONVOLUTIONS = {"cpu": [(1, 256, 64), (4, 256, 64), (8, 128, 64)], "cuda": [(16, 256, 64), (64, 256, 64)]}
MATRIX_SIDES = {"cpu": [1024, 2048], "cuda": [8192]}


@torch.no_grad()
def find_ceiling(device: str) -> tuple[float, float]:
    """FLOP/s of the best matrix product and of the best 3x3 convolution; bfloat16 on CUDA, else float32."""
    randn = partial(torch.randn, device=device, dtype=torch.bfloat16 if device == "cuda" else torch.float32)
    products, convolutions = [], []
    for side in MATRIX_SIDES[device]:
        a, b = randn(2, side, side)
        products.append(2 * side**3 / _least_seconds("a @ b", a=a, b=b))
    for count, channels, side in CONVOLUTIONS[device]:
        x = randn(count, channels, side, side)
        weight = randn(channels, channels, 3, 3)
        if device == "cuda":
            x, weight = (tensor.to(memory_format=torch.channels_last) for tensor in (x, weight))
        seconds = _least_seconds("conv2d(x, weight, padding=1)", conv2d=F.conv2d, x=x, weight=weight)
        convolutions.append(2 * count * side**2 * channels**2 * 9 / seconds)
    return max(products), max(convolutions)


def _least_seconds(statement: str, **values: object) -> float:
    timer = Timer(statement, globals=values, num_threads=torch.get_num_threads())
    return min(timer.timeit(1).mean for _ in range(TRIES))
