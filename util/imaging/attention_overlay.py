"""Drawing an attention map over the image it belongs to."""

import torch
import torch.nn.functional as F
from torch import Tensor

Point = tuple[float, float]

# dark violet -> orange -> white, readable in print and by the colour-blind
RAMP = torch.tensor(
    [[0.00, 0.00, 0.02], [0.34, 0.06, 0.43], [0.80, 0.28, 0.27], [0.98, 0.65, 0.04], [1.0, 1.0, 0.85]]
)


def stretch(weights: Tensor) -> Tensor:
    """(N, H, W) of any scale -> the same in [0, 1], from each map's lowest to its highest value."""
    low, high = weights.amin((1, 2), keepdim=True), weights.amax((1, 2), keepdim=True)
    return (weights - low) / (high - low).clamp_min(1e-12)


def heat(weights: Tensor) -> Tensor:
    """(N, H, W) of any scale -> colours (N, 3, H, W) in [-1, 1], from each map's lowest to its highest value."""
    place = stretch(weights) * (len(RAMP) - 1)
    below = place.floor().clamp(max=len(RAMP) - 2).long()
    ramp = RAMP.to(weights.device)
    share = (place - below).unsqueeze(-1)
    colours = ramp[below] * (1 - share) + ramp[below + 1] * share
    return colours.permute(0, 3, 1, 2) * 2 - 1


def overlay(
    images: Tensor, rows: Tensor, points: list[Point], least: float = 0.4, most: float = 0.85
) -> Tensor:
    """What each query point attends to, drawn over the image, one picture a point side by side.

    images (N, C, H, W) in [-1, 1], rows (N, P, h, w), points (y, x) in [0, 1) -> (N, 3, H, P * W) in [-1, 1].
    The colours of the map cover the image from `least`, where its weight is lowest, to `most`.
    """
    images = images.float()
    base = images if images.shape[1] == 3 else images[:, :1].expand(-1, 3, -1, -1)
    height, width = base.shape[2:]
    pictures = []
    for index, point in enumerate(points):
        weights = F.interpolate(rows[:, index : index + 1].float(), size=(height, width), mode="bilinear")
        # what is not looked at stays to be seen
        cover = least + (most - least) * stretch(weights[:, 0])[:, None]
        picture = (1 - cover) * base + cover * heat(weights[:, 0])
        pictures.append(_mark(picture, point))
    return torch.cat(pictures, dim=3)


def _mark(picture: Tensor, point: Point) -> Tensor:
    """Set a green square with a black rim where the query is."""
    height, width = picture.shape[2:]
    y, x = int(point[0] * height), int(point[1] * width)
    for radius, colour in (
        (max(2, height // 40), (-1.0, -1.0, -1.0)),
        (max(1, height // 64), (-0.6, 1.0, -0.4)),
    ):
        area = picture[:, :, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        area.copy_(torch.tensor(colour, device=picture.device)[None, :, None, None].expand_as(area))
    return picture
