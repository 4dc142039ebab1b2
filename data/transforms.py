"""From a Pillow image to a tensor by resizing, cropping and flipping; pixels equal those of upstream."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from util.errors import UserError
from util.free_memory import check_fits

Size = tuple[int, int]  # width, height, as in Pillow


@dataclass(frozen=True)
class Draw:
    """The random choices for one image: the upper left corner (x, y) of the crop, and whether to flip."""

    crop_pos: tuple[int, int]
    flip: bool


@dataclass(frozen=True)
class Preprocess:
    """The steps from a stored image to a training image; `mode` is a value of --preprocess, see docs/data.md.

    `prepare` does the steps without randomness, `finish` those that depend on a Draw.
    """

    mode: str = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    center_size: int = 0  # pixels of the stored image; 0: its shorter side
    flip: bool = True  # False: never flip, even if a Draw says so
    resample: Image.Resampling = Image.Resampling.BICUBIC

    def scaled(self, size: Size) -> Size:
        """The size after `prepare` of an image of `size`."""
        width, height = size
        match self.mode:
            case "resize" | "resize_and_crop":
                return self.load_size, self.load_size
            case "scale_width" | "scale_width_and_crop" if width != self.load_size or height < self.crop_size:
                return self.load_size, int(max(self.load_size * height / width, self.crop_size))
            case "none":  # multiples of 4, for networks that halve the image twice; round as upstream does
                return max(4, round(width / 4) * 4), max(4, round(height / 4) * 4)
            case "center":
                return self.crop_size, self.crop_size
        return size

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
        """`prepare`, then `finish`; `name` is the name of the image in errors."""
        return self.finish(self.prepare(image, name=name), draw, name=name)

    def prepare(self, image: Image.Image, *, name: str = "an image") -> Image.Image:
        """Scale the image, in mode center its central square; raises UserError if it is smaller than that
        square, or does not fit into the memory.
        """
        if self.mode == "center":
            side = self.center_size or min(image.size)
            if min(image.size) < side:
                raise UserError(
                    f"{name} has {image.width}x{image.height} pixels, less than --center_size {side}; "
                    "use a smaller value, or 0 for the shorter side of each image"
                )
            # rounded as in torchvision's center_crop
            image = crop(image, (round((image.width - side) / 2), round((image.height - side) / 2)), side)
        size = self.scaled(image.size)
        # Pillow scales the width first, and keeps a few numbers for each row and column
        pixels = size[0] * max(size[1], image.height) + 2 * sum(image.size)
        what = (
            f"{name}, {image.width}x{image.height} pixels, with --preprocess {self.mode} {size[0]}x{size[1]}"
        )
        check_fits(pixels, what, "remove it, or use a smaller --load_size or --crop_size")
        return resize(image, size, self.resample)

    def finish(self, image: Image.Image, draw: Draw, *, name: str = "an image") -> Image.Image:
        """Crop a prepared image to the drawn window, scale that to crop_size, and flip it if drawn.

        Raises:
            UserError: the image is smaller than the crop.
        """
        if self._crops:
            image = crop(image, draw.crop_pos, self._fitting_side(image.size, name))
            image = resize(image, (self.crop_size, self.crop_size), self.resample)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.flip and draw.flip else image

    def finish_pixels(self, pixels: np.ndarray, draw: Draw, *, name: str) -> Tensor:
        """`finish` for the pixels of a prepared image, uint8 (C, H, W); returns a copy."""
        if self._crops:
            side = self._fitting_side((pixels.shape[2], pixels.shape[1]), name)
            x, y = draw.crop_pos
            pixels = pixels[:, y : y + side, x : x + side]
            if side != self.crop_size:
                scaled = resize(to_image(pixels), (self.crop_size, self.crop_size), self.resample)
                pixels = to_pixels(scaled).numpy()
        tensor = torch.from_numpy(pixels)
        if self.flip and draw.flip:
            return tensor.flip(-1)
        return tensor.clone(memory_format=torch.contiguous_format)

    @property
    def _crops(self) -> bool:
        """Whether a random square is cropped."""
        return self.mode.endswith("crop") or self.mode == "long_edge"

    def _window_side(self, size: Size) -> int:
        return min(size) if self.mode == "long_edge" else self.crop_size

    def _fitting_side(self, size: Size, name: str) -> int:
        side = self._window_side(size)
        if min(size) < side:
            raise UserError(
                f"{name} has {size[0]}x{size[1]} pixels before cropping, less than --crop_size "
                f"{self.crop_size}; use a smaller --crop_size, or --preprocess resize_and_crop"
            )
        return side


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
    hwc = np.atleast_3d(np.asarray(image))
    assert hwc.dtype == np.uint8, image.mode
    return torch.from_numpy(hwc.transpose(2, 0, 1).copy())


def to_image(pixels: np.ndarray) -> Image.Image:
    """The inverse of `to_pixels`."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def to_float(pixels: Tensor) -> Tensor:
    """uint8 of any shape -> float32 in [-1, 1] on the same device, bit-equal to upstream's (x / 255 - 0.5) / 0.5."""
    # x / 127.5 - 1 rounds in the same way, because each step is upstream's times 2. The divisor is a tensor
    # because a GPU multiplies by the inverse of a Python number, which rounds differently
    divisor = torch.full((), 127.5, device=pixels.device)
    return pixels.to(torch.float32).div_(divisor).sub_(1)
