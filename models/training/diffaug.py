"""Differentiable augmentation of the images that a discriminator judges (Zhao et al. 2020, arXiv:2006.10738)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_SHIFT = 1 / 8  # of a side
CUT_SIDE = 1 / 2  # of a side


class DiffAugment:
    """A forward pre-hook that augments the input of a discriminator in training mode.

    Real and fake images are augmented, so the generator does not learn to imitate the augmentation. `kinds` are keys
    of KINDS. Images (N, C, H, W) are in [-1, 1]; RGB images concatenated along C are recoloured separately.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)

    def __call__(self, net: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not net.training:
            return None
        images, *others = inputs
        for kind in self.kinds:
            images = KINDS[kind](images)
        return (images, *others)


def recolour(x: Tensor) -> Tensor:
    """Add -0.5 to 0.5 to the brightness, multiply the saturation by 0 to 2 and the contrast by 0.5 to 1.5."""
    x = x + _uniform(x) - 0.5
    if x.shape[1] % 3 == 0:
        rgb = x.unflatten(1, (-1, 3))
        grey = rgb.mean(2, keepdim=True)
        x = (grey + (rgb - grey) * (2 * _uniform(x))[:, None]).flatten(1, 2)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + _uniform(x))


def translate(x: Tensor) -> Tensor:
    """Shift each image by up to an eighth of a side; the uncovered border is 0 (mid grey)."""
    count, _, height, width = x.shape
    edge_y, edge_x = int(height * LARGEST_SHIFT), int(width * LARGEST_SHIFT)
    down, right = (torch.randint(-edge, edge + 1, (count,), device=x.device) for edge in (edge_y, edge_x))
    padded = F.pad(x, (edge_x, edge_x, edge_y, edge_y))
    rows = torch.arange(height, device=x.device)[None] + edge_y - down[:, None]
    columns = torch.arange(width, device=x.device)[None] + edge_x - right[:, None]
    image = torch.arange(count, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cut_out(x: Tensor) -> Tensor:
    """Set a square of half the side to 0; its centre lies anywhere in the image."""
    height, width = x.shape[2:]
    inside_y = _hidden(x, height)[:, None, :, None]
    inside_x = _hidden(x, width)[:, None, None, :]
    return x * ~(inside_y & inside_x)


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": recolour,
    "translation": translate,
    "cutout": cut_out,
}


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype)


def _hidden(x: Tensor, side: int) -> Tensor:
    """(N, side) bool: True in an interval of half the side around a random centre."""
    length = int(side * CUT_SIDE)
    start = torch.randint(0, side + 1 - length % 2, (len(x), 1), device=x.device) - length // 2
    offset = torch.arange(side, device=x.device) - start
    return (offset >= 0) & (offset < length)
