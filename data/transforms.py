"""From a Pillow image to a tensor by resizing, cropping and flipping; pixels equal those of upstream."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from util.errors import UserError

Size = tuple[int, int]  # width, height, as in Pillow


@dataclass(frozen=True)
class Draw:
    """The random numbers of one image: the upper left corner (x, y) of the crop, and whether to flip."""

    crop_pos: tuple[int, int]
    flip: bool


@dataclass(frozen=True)
class Preprocess:
    """The steps from a stored image to a training image; `mode` is a key of MODES.

    `prepare` does the steps without randomness, `finish` those that depend on a Draw.

    Raises:
        UserError: an unknown mode, a load_size below crop_size, or a negative center_size.
    """

    mode: str = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    center_size: int = 0  # pixels of the stored image; 0: its shorter side
    flip: bool = True  # False: never flip, whatever was drawn
    resample: Image.Resampling = Image.Resampling.BICUBIC

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"--preprocess {self.mode} is unknown; use one of {', '.join(MODES)}")
        if self.mode.endswith("_and_crop") and self.load_size < self.crop_size:
            raise UserError(
                f"--load_size {self.load_size} must not be smaller than --crop_size {self.crop_size}"
            )
        if self.center_size < 0:
            raise UserError(f"--center_size {self.center_size} is negative; 0 selects the shorter side")

    def scaled(self, size: Size) -> Size:
        """The size after `prepare` of an image of `size`."""
        return MODES[self.mode].scale(size, self.load_size, self.crop_size)

    def draw(self, size: Size, rng: random.Random) -> Draw:
        """Draw for a stored image of `size`: uniformly a window that fits, and a flip with probability 1/2."""
        return self.draw_prepared(self.scaled(size), rng)

    def draw_prepared(self, size: Size, rng: random.Random) -> Draw:
        """Draw for a prepared image of `size`."""
        side = self._window_side(size)
        x = rng.randint(0, max(0, size[0] - side))
        y = rng.randint(0, max(0, size[1] - side))
        return Draw((x, y), flip=rng.random() > 0.5)

    def apply(self, image: Image.Image, draw: Draw, *, name: str = "an image") -> Image.Image:
        """`prepare`, then `finish`; `name` is what their errors call the image."""
        return self.finish(self.prepare(image, name=name), draw, name=name)

    def prepare(self, image: Image.Image, *, name: str = "an image") -> Image.Image:
        """Scale the image, or its central square; raises UserError if the image is smaller than that square."""
        if MODES[self.mode].centred:
            image = central_square(image, self.center_size, name=name)
        return resize(image, self.scaled(image.size), self.resample)

    def finish(self, image: Image.Image, draw: Draw, *, name: str = "an image") -> Image.Image:
        """Crop a prepared image to the drawn window, scale that to crop_size, and flip it if drawn.

        Raises:
            UserError: the image is smaller than the crop.
        """
        if MODES[self.mode].window:
            image = crop(image, draw.crop_pos, self._fitting_side(image.size, name))
            image = resize(image, (self.crop_size, self.crop_size), self.resample)
        flips = self.flip and draw.flip
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flips else image

    def finish_pixels(self, pixels: np.ndarray, draw: Draw, *, name: str) -> Tensor:
        """`finish` for the pixels of a prepared image, uint8 (C, H, W); returns a copy."""
        if MODES[self.mode].window:
            side = self._fitting_side((pixels.shape[2], pixels.shape[1]), name)
            x, y = draw.crop_pos
            pixels = pixels[:, y : y + side, x : x + side]
            if side != self.crop_size:
                scaled = resize(to_image(pixels), (self.crop_size, self.crop_size), self.resample)
                pixels = to_pixels(scaled).numpy()
        tensor = torch.from_numpy(pixels)
        flips = self.flip and draw.flip
        return tensor.flip(-1) if flips else tensor.clone(memory_format=torch.contiguous_format)

    def _window_side(self, size: Size) -> int:
        return min(size) if MODES[self.mode].window == "shorter_side" else self.crop_size

    def _fitting_side(self, size: Size, name: str) -> int:
        side = self._window_side(size)
        if min(size) < side:
            raise UserError(
                f"{name} has {size[0]}x{size[1]} pixels before cropping, less than --crop_size "
                f"{self.crop_size}; use a smaller --crop_size, or --preprocess resize_and_crop"
            )
        return side


def scaled_width(size: Size, load_size: int, crop_size: int) -> Size:
    """Width load_size; the height is scaled in proportion, but is at least crop_size."""
    width, height = size
    if width == load_size and height >= crop_size:
        return size
    return load_size, int(max(load_size * height / width, crop_size))


def multiple_of_four(size: Size, load_size: int, crop_size: int) -> Size:
    """Both sides are rounded to a multiple of 4, for nets that halve the image twice."""
    # halves are rounded to even, as upstream does
    width, height = (max(4, round(side / 4) * 4) for side in size)
    return width, height


@dataclass(frozen=True)
class Mode:
    """What a mode of --preprocess does before the flip."""

    scale: Callable[[Size, int, int], Size]  # (size, load_size, crop_size) -> the size to scale an image to
    window: Literal["crop", "shorter_side"] | None = None  # side of a random square, scaled to crop_size
    centred: bool = False  # whether only the central square is scaled


MODES: dict[str, Mode] = {
    "resize_and_crop": Mode(lambda size, load_size, crop_size: (load_size, load_size), window="crop"),
    "resize": Mode(lambda size, load_size, crop_size: (load_size, load_size)),
    "crop": Mode(lambda size, load_size, crop_size: size, window="crop"),
    "scale_width": Mode(scaled_width),
    "scale_width_and_crop": Mode(scaled_width, window="crop"),
    "none": Mode(multiple_of_four),
    "center": Mode(lambda size, load_size, crop_size: (crop_size, crop_size), centred=True),
    "long_edge": Mode(lambda size, load_size, crop_size: size, window="shorter_side"),
}


def central_square(image: Image.Image, side: int, *, name: str) -> Image.Image:
    """The square of `side` pixels in the centre; 0 is the shorter side. Raises UserError if the image is smaller."""
    side = side or min(image.size)
    if min(image.size) < side:
        raise UserError(
            f"{name} has {image.width}x{image.height} pixels, less than --center_size {side}; "
            "use a smaller value, or 0 for the shorter side of each image"
        )
    # rounded as in torchvision's center_crop
    return crop(image, (round((image.width - side) / 2), round((image.height - side) / 2)), side)


def resize(image: Image.Image, size: Size, resample: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def crop(image: Image.Image, corner: tuple[int, int], side: int) -> Image.Image:
    """The square with its upper left corner at `corner`, (x, y)."""
    x, y = corner
    return image.crop((x, y, x + side, y + side))


def to_tensor(image: Image.Image) -> Tensor:
    """An 8-bit image of C channels -> float32 (C, H, W) in [-1, 1]."""
    return to_float(to_pixels(image))


def to_pixels(image: Image.Image) -> Tensor:
    """An 8-bit image of C channels -> uint8 (C, H, W)."""
    pixels = np.asarray(image)
    assert pixels.dtype == np.uint8, image.mode
    hwc = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return torch.from_numpy(hwc.transpose(2, 0, 1).copy())


def to_image(pixels: np.ndarray) -> Image.Image:
    """The inverse of `to_pixels`."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def to_float(pixels: Tensor) -> Tensor:
    """uint8 of any shape -> float32 in [-1, 1] on the same device, bit-equal to upstream's (x / 255 - 0.5) / 0.5."""
    # x / 127.5 - 1 rounds in the same way, because all its steps are upstream's times 2. The divisor is a tensor
    # because a GPU multiplies by the inverse of a Python number, which rounds differently
    divisor = torch.full((), 127.5, device=pixels.device)
    return pixels.to(torch.float32).div_(divisor).sub_(1)
