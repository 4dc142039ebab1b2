"""Converts image tensors to uint8 arrays, grids and image files."""

import math
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from util.errors import UserError
from util.files import write_atomically
from util.free_memory import check_fits
from util.imaging.image_files import open_image_file

GAP = 2  # pixels between the images of a grid
# as small as Pillow's default PNG files in a third of the time; other formats ignore it
FAST_PNG = {"compress_level": 1, "compress_type": zlib.Z_RLE}


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert images (N, C, H, W) in [-1, 1], of any float type and device, to (N, H, W, c) uint8.

    c is 1, 3 or 4: of two channels the first is shown as grey, of five or more the first three as RGB.
    Values outside the range are clamped, the others rounded; NaN becomes mid-grey (128).
    """
    assert images.ndim == 4, images.shape
    channels = {1: 1, 2: 1, 4: 4}.get(images.shape[1], 3)
    x = images.detach()[:, :channels].float().nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0).clamp(-1, 1)
    pixels = ((x + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def sheet(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Arrange images (N, H, W, C) uint8 row by row on a white grid (h, w, C), nearly square by default."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return grid(tensor, columns, white=255)[0].permute(1, 2, 0).contiguous().numpy()


def grid(images: Tensor, columns: int, white: float = 1) -> Tensor:
    """Arrange images (N, C, H, W), by default in [-1, 1], row by row on a white grid (1, C, h, w)."""
    count, channels, height, width = images.shape
    size = (math.ceil(count / columns) * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    canvas = images.new_full((1, channels, *size), white)
    for index, image in enumerate(images):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        canvas[0, :, top : top + height, left : left + width] = image
    return canvas


def save_image(image: np.ndarray, path: str | Path, aspect_ratio: float = 1.0) -> None:
    """Write image (H, W, C) with C = 1, 3 or 4, or (H, W), uint8, in the format of the path's extension.

    An aspect_ratio above 1 widens the image by that factor; one below 1 makes it taller by the inverse.
    Raises RunFault if the file cannot be written, and UserError if the image does not fit into the memory.
    """
    path = Path(path)
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if aspect_ratio != 1.0:
        width, height = picture.size
        size = (round(width * max(aspect_ratio, 1.0)), round(height * max(1 / aspect_ratio, 1.0)))
        check_fits(size[0] * size[1], f"an image of {size[0]}x{size[1]} pixels", "use another --aspect_ratio")
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    kind = Image.registered_extensions()[path.suffix.lower()]
    write_atomically(path, lambda file: picture.save(file, format=kind, **FAST_PNG))


def image_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) of an image file; None if it is missing or not an image."""
    with suppress(UserError), open_image_file(path) as picture:
        return picture.size
    return None
