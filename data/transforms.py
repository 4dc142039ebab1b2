"""From a Pillow image to a tensor: resizing, cropping and flipping, with the classic pixel results."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
    """One of the ways from a stored image to a training image; see MODES.

    What it does the same each time is `prepare`, what is drawn for each image anew is `finish`.

    Raises:
        UserError: an unknown mode, a load_size that is smaller than the crop, or a negative center_size.
    """

    mode: str = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    center_size: int = 0  # pixels of the stored image; 0: its shorter side
    flip: bool = True  # False: never flip, whatever was drawn
    resample: Image.Resampling = Image.Resampling.BICUBIC

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"--preprocess {self.mode} is unknown; known: {', '.join(MODES)}")
        mode = MODES[self.mode]
        if mode.window == "crop" and mode.scale is not same_size and self.load_size < self.crop_size:
            raise UserError(
                f"--load_size {self.load_size} is smaller than --crop_size {self.crop_size}; "
                "make it the same or larger"
            )
        if self.center_size < 0:
            raise UserError(f"--center_size {self.center_size} is below 0; 0 takes the shorter side")

    def scaled(self, size: Size) -> Size:
        """The size an image of `size` has after `prepare`."""
        return MODES[self.mode].scale(size, self.load_size, self.crop_size)

    def draw(self, size: Size, rng: random.Random) -> Draw:
        """Draw for a stored image of `size`: a window, even over all that fit, and a flip with probability 1/2."""
        return self.draw_prepared(self.scaled(size), rng)

    def draw_prepared(self, size: Size, rng: random.Random) -> Draw:
        """`draw` for an image that `prepare` has made."""
        side = self._window_side(size)
        x = rng.randint(0, max(0, size[0] - side))
        y = rng.randint(0, max(0, size[1] - side))
        return Draw((x, y), flip=rng.random() > 0.5)

    def apply(self, image: Image.Image, draw: Draw, *, name: str = "an image") -> Image.Image:
        """Scale, crop and flip `image` as drawn; `name` is what an error calls it.

        Raises:
            UserError: the image is smaller than the crop.
        """
        return self.finish(self.prepare(image, name=name), draw, name=name)

    def prepare(self, image: Image.Image, *, name: str = "an image") -> Image.Image:
        """The part that is the same each time: the central square where the mode takes it, and scaling.

        Raises:
            UserError: the image is smaller than the central square.
        """
        if MODES[self.mode].centred:
            image = central_square(image, self.center_size, name=name)
        return resize(image, self.scaled(image.size), self.resample)

    def finish(self, image: Image.Image, draw: Draw, *, name: str = "an image") -> Image.Image:
        """The drawn part: the window of a prepared image, to crop_size, and the flip.

        Raises:
            UserError: the image is smaller than the crop.
        """
        if MODES[self.mode].window:
            image = crop(image, draw.crop_pos, self._fitting_side(image.size, name))
            image = resize(image, (self.crop_size, self.crop_size), self.resample)
        return flip(image) if self.flip and draw.flip else image

    def finish_pixels(self, pixels: np.ndarray, draw: Draw, *, name: str) -> Tensor:
        """`finish` for the pixels of a prepared image, uint8 (C, H, W), which are left as they are."""
        if MODES[self.mode].window:
            side = self._fitting_side((pixels.shape[2], pixels.shape[1]), name)
            x, y = draw.crop_pos
            pixels = pixels[:, y : y + side, x : x + side]
            if side != self.crop_size:
                scaled = resize(to_image(pixels), (self.crop_size, self.crop_size), self.resample)
                pixels = to_pixels(scaled).numpy()
        found = torch.from_numpy(pixels)
        mirrored = self.flip and draw.flip
        return found.flip(-1) if mirrored else found.clone(memory_format=torch.contiguous_format)

    def _window_side(self, size: Size) -> int:
        return min(size) if MODES[self.mode].window == "shorter_side" else self.crop_size

    def _fitting_side(self, size: Size, name: str) -> int:
        side = self._window_side(size)
        if min(size) < side:
            raise UserError(
                f"{name} has {size[0]}x{size[1]} pixels before cropping, less than --crop_size "
                f"{self.crop_size}; lower --crop_size or use --preprocess resize_and_crop"
            )
        return side


def square_size(size: Size, load_size: int, crop_size: int) -> Size:
    return load_size, load_size


def crop_square(size: Size, load_size: int, crop_size: int) -> Size:
    return crop_size, crop_size


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


@dataclass(frozen=True)
class Mode:
    """What a mode does before the flip: the central square or all, scaled; a window at random or all of that."""

    scale: Callable[[Size, int, int], Size]  # (size, load_size, crop_size) -> the size to scale to
    window: Literal["crop", "shorter_side"] | None = None  # a square with this side, brought to crop_size
    centred: bool = False


MODES: dict[str, Mode] = {
    "resize_and_crop": Mode(square_size, window="crop"),
    "resize": Mode(square_size),
    "crop": Mode(same_size, window="crop"),
    "scale_width": Mode(width_size),
    "scale_width_and_crop": Mode(width_size, window="crop"),
    "none": Mode(multiple_of_four),
    "center": Mode(crop_square, centred=True),
    "long_edge": Mode(same_size, window="shorter_side"),
}


def central_square(image: Image.Image, side: int, *, name: str = "an image") -> Image.Image:
    """The square of `side` pixels in the middle of `image`; side 0 stands for the shorter side.

    Raises:
        UserError: the image is smaller.
    """
    side = side or min(image.size)
    if min(image.size) < side:
        raise UserError(
            f"{name} has {image.width}x{image.height} pixels, less than --center_size {side}; "
            "lower it, or give 0 for the shorter side of each image"
        )
    # rounded as torchvision does, half a pixel to the even one
    return crop(image, (round((image.width - side) / 2), round((image.height - side) / 2)), side)


def resize(
    image: Image.Image, size: Size, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def crop(image: Image.Image, position: tuple[int, int], side: int) -> Image.Image:
    """The side x side square whose upper left corner is at `position`, (x, y)."""
    x, y = position
    return image.crop((x, y, x + side, y + side))


def flip(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


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
    """`to_pixels` backwards."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def to_float(pixels: Tensor) -> Tensor:
    """uint8 of any shape -> float32 in [-1, 1], on the same device and by the last bit as classic."""
    # x / 127.5 - 1 rounds as (x / 255 - 0.5) / 0.5 does, for both steps are those, doubled. A GPU would
    # multiply by the inverse of a plain number, which rounds otherwise, so it gets a tensor
    half = torch.full((), 127.5, device=pixels.device)
    return pixels.to(torch.float32).div_(half).sub_(1)
