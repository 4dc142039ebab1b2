"""Draws attention maps over images."""

import torch
import torch.nn.functional as F
from torch import Tensor

Point = tuple[float, float]

# dark violet -> orange -> white: readable in print and for colour-blind readers
COLOUR_RAMP = torch.tensor(
    [[0.00, 0.00, 0.02], [0.34, 0.06, 0.43], [0.80, 0.28, 0.27], [0.98, 0.65, 0.04], [1.0, 1.0, 0.85]]
)
MIN_OPACITY, MAX_OPACITY = 0.4, 0.85  # of a map over its image
BLACK, GREEN = (-1.0, -1.0, -1.0), (-0.6, 1.0, -0.4)


def stretch(weights: Tensor) -> Tensor:
    """Scale each map of (N, H, W) linearly to [0, 1]."""
    low, high = weights.amin((1, 2), keepdim=True), weights.amax((1, 2), keepdim=True)
    return (weights - low) / (high - low).clamp_min(1e-12)


def heat(weights: Tensor) -> Tensor:
    """Convert maps (N, H, W), each stretched to the whole colour ramp, to colours (N, 3, H, W) in [-1, 1]."""
    position = stretch(weights) * (len(COLOUR_RAMP) - 1)
    index = position.floor().clamp(max=len(COLOUR_RAMP) - 2).long()
    ramp = COLOUR_RAMP.to(weights.device)
    fraction = (position - index).unsqueeze(-1)
    colours = ramp[index] * (1 - fraction) + ramp[index + 1] * fraction
    return colours.permute(0, 3, 1, 2) * 2 - 1


def overlay(images: Tensor, rows: Tensor, points: list[Point]) -> Tensor:
    """Draw the attention map of each query point over the image, one picture per point, side by side.

    images (N, C, H, W) in [-1, 1], attention maps `rows` (N, P, h, w), points (y, x) in [0, 1)
    -> (N, 3, H, P * W) in [-1, 1]. The opacity of a map grows with its weights, so that the image stays
    visible where the weights are small.
    """
    images = images.float()
    base = images if images.shape[1] == 3 else images[:, :1].expand(-1, 3, -1, -1)
    maps = F.interpolate(rows.float(), size=base.shape[2:], mode="bilinear")
    pictures = []
    for weights, point in zip(maps.unbind(1), points, strict=True):
        opacity = MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * stretch(weights)[:, None]
        picture = (1 - opacity) * base + opacity * heat(weights)
        _mark(picture, point)
        pictures.append(picture)
    return torch.cat(pictures, dim=3)


def _mark(picture: Tensor, point: Point) -> None:
    """Draw a green square with a black border at the query point, in place."""
    height, width = picture.shape[2:]
    y, x = int(point[0] * height), int(point[1] * width)
    for radius, colour in ((max(2, height // 40), BLACK), (max(1, height // 64), GREEN)):
        area = picture[:, :, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        area.copy_(torch.tensor(colour, device=picture.device)[None, :, None, None].expand_as(area))
