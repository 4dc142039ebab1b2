"""From a Pillow image to a tensor: resizing, cropping and flipping, with the classic pixel results."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from util.errors import UserError

Size = tuple[int, int]  # width, height, as Pillow counts


@dataclass(frozen=True)
class Draw:
    """What was drawn for one image: where to crop, (x, y), and whether to flip."""

    crop_pos: tuple[int, int]
    flip: bool


@dataclass(frozen=True)
class Preprocess:
    """One of the five ways from a stored image to a training image; see MODES.

    Raises:
        UserError: an unknown mode, or a load_size that is smaller than the crop.
    """

    mode: str = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True  # False: never flip, whatever was drawn
    resample: Image.Resampling = Image.Resampling.BICUBIC

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"--preprocess {self.mode} is unknown; known: {', '.join(MODES)}")
        if self.crops and self.mode != "crop" and self.load_size < self.crop_size:
            raise UserError(
                f"--load_size {self.load_size} is smaller than --crop_size {self.crop_size}; "
                "make it the same or larger"
            )

    @property
    def crops(self) -> bool:
        return MODES[self.mode][1]

    def scaled(self, size: Size) -> Size:
        """The size an image of `size` has after scaling and before cropping."""
        return MODES[self.mode][0](size, self.load_size, self.crop_size)

    def draw(self, size: Size, rng: random.Random) -> Draw:
        """Draw a crop position, even over all that fit, and a flip with probability 1/2."""
        width, height = self.scaled(size)
        x = rng.randint(0, max(0, width - self.crop_size))
        y = rng.randint(0, max(0, height - self.crop_size))
        return Draw((x, y), flip=rng.random() > 0.5)

    def apply(self, image: Image.Image, draw: Draw, *, name: str = "an image") -> Image.Image:
        """Scale, crop and flip `image` as drawn; `name` is what an error calls it.

        Raises:
            UserError: the image is smaller than the crop.
        """
        image = resize(image, self.scaled(image.size), self.resample)
        if self.crops:
            if min(image.size) < self.crop_size:
                raise UserError(
                    f"{name} has {image.width}x{image.height} pixels before cropping, less than --crop_size "
                    f"{self.crop_size}; lower --crop_size or use --preprocess resize_and_crop"
                )
            image = crop(image, draw.crop_pos, self.crop_size)
        return flip(image) if self.flip and draw.flip else image


def square_size(size: Size, load_size: int, crop_size: int) -> Size:
    return load_size, load_size


def same_size(size: Size, load_size: int, crop_size: int) -> Size:
    return size


def width_size(size: Size, load_size: int, crop_size: int) -> Size:
    """Width load_size, the height in proportion but not below crop_size."""
    width, height = size
    if width == load_size and height >= crop_size:
        return size
    return load_size, int(max(load_size * height / width, crop_size))


def multiple_of_four(size: Size, load_size: int, crop_size: int) -> Size:
    """Both sides to the nearest multiple of 4, for nets that halve the image twice."""
    # round() takes the even neighbour of a half, which the classic results do as well
    width, height = (max(4, round(side / 4) * 4) for side in size)
    return width, height


# name -> (the size to scale to, whether a crop follows)
MODES: dict[str, tuple[Callable[[Size, int, int], Size], bool]] = {
    "resize_and_crop": (square_size, True),
    "resize": (square_size, False),
    "crop": (same_size, True),
    "scale_width": (width_size, False),
    "scale_width_and_crop": (width_size, True),
    "none": (multiple_of_four, False),
}


def resize(
    image: Image.Image, size: Size, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def crop(image: Image.Image, position: tuple[int, int], crop_size: int) -> Image.Image:
    """The crop_size x crop_size square whose upper left corner is at `position`, (x, y)."""
    x, y = position
    return image.crop((x, y, x + crop_size, y + crop_size))


def flip(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def to_tensor(image: Image.Image) -> Tensor:
    """An 8-bit image of C channels -> float32 (C, H, W) in [-1, 1]."""
    pixels = np.array(image)  # a copy: torch wants memory it may write to
    assert pixels.dtype == np.uint8, image.mode
    hwc = torch.from_numpy(pixels if pixels.ndim == 3 else pixels[:, :, None])
    # in these very steps, so that the result equals the classic one to the last bit
    return hwc.permute(2, 0, 1).contiguous().to(torch.float32).div_(255).sub_(0.5).div_(0.5)
