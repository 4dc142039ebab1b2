"""From tensors in [-1, 1] to pictures a person can open."""

import io
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from util.files import write_whole

GAP = 2  # pixels between the pictures of a sheet


def to_uint8(images: Tensor) -> np.ndarray:
    """images (N, C, H, W) in [-1, 1], any float type and device -> (N, H, W, c) uint8.

    c is 1, 3 or 4: of two channels the first is shown as grey, of more than four the first three as
    RGB. Values outside are clamped, between two steps rounded; NaN shows as mid grey, 128.
    """
    assert images.ndim == 4, images.shape
    channels = {1: 1, 2: 1, 4: 4}.get(images.shape[1], 3)
    x = images.detach()[:, :channels].float().nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0).clamp(-1, 1)
    steps = ((x + 1) * 127.5).round().to(torch.uint8)
    return steps.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def sheet(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """images (N, H, W, C) uint8 -> one (h, w, C) picture: row by row on a white grid, nearly square by default."""
    count, height, width, channels = images.shape
    size, places = _layout(count, columns or math.ceil(math.sqrt(count)), height, width, GAP)
    canvas = np.full((*size, channels), 255, dtype=np.uint8)
    for image, (ys, xs) in zip(images, places, strict=True):
        canvas[ys, xs] = image
    return canvas


def grid(images: Tensor, columns: int, gap: int = GAP) -> Tensor:
    """images (N, C, H, W) in [-1, 1] -> one picture (1, C, h, w) in [-1, 1]: row by row on a white grid.

    `gap` is the white between them in pixels.
    """
    count, channels, height, width = images.shape
    size, places = _layout(count, columns, height, width, gap)
    canvas = images.new_ones(1, channels, *size)
    for image, (ys, xs) in zip(images, places, strict=True):
        canvas[0, :, ys, xs] = image
    return canvas


def _layout(
    count: int, columns: int, height: int, width: int, gap: int
) -> tuple[tuple[int, int], list[tuple[slice, slice]]]:
    """(height, width) of a grid, and where each of its pictures lies: (ys, xs)."""
    corners = [(index // columns * (height + gap), index % columns * (width + gap)) for index in range(count)]
    places = [(slice(top, top + height), slice(left, left + width)) for top, left in corners]
    rows = math.ceil(count / columns)
    return (rows * (height + gap) - gap, columns * (width + gap) - gap), places


def save_image(image: np.ndarray, path: str | Path, aspect_ratio: float = 1.0) -> None:
    """Write image (H, W, 1 | 3 | 4) or (H, W), uint8, in the format of the path's ending.

    aspect_ratio above 1 widens the picture by that factor; below 1 it makes it taller by the inverse.
    RunFault names the path that cannot be written.
    """
    path = Path(path)
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if aspect_ratio != 1.0:
        width, height = picture.size
        wider, taller = max(aspect_ratio, 1.0), max(1 / aspect_ratio, 1.0)
        picture = picture.resize((round(width * wider), round(height * taller)), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    # a third of the time of Pillow's own choice for files as small; formats other than PNG ignore it
    fast = {"compress_level": 1, "compress_type": zlib.Z_RLE}
    picture.save(buffer, format=Image.registered_extensions()[path.suffix.lower()], **fast)
    write_whole(path, buffer.getvalue())


def image_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of an image file, read from its first bytes; None where there is no such image."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError:
        return None
