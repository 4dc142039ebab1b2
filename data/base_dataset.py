"""The base classes of data set plugins, and the helper functions of upstream's module of this name.

The keys of items and batches, shared by all data sets and models:

    A, B, image                 float32 (C, H, W) in [-1, 1]
    label                       int64
    z                           float32
    A_paths, B_paths, paths     strings
"""

import random
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from data.images import check_channels
from data.transforms import Draw, Preprocess, Size, to_float, to_tensor
from util import log

Item = dict[str, Tensor | str]


class BaseDataset(torch.utils.data.Dataset, ABC):
    """Items that are dicts with the keys above.

    Items may draw random numbers from the global generators (`random`, `numpy.random`, torch): the loader seeds
    these for each item, so that a resumed run draws the same numbers as an uninterrupted one.
    """

    needs_dataroot = True  # False: --dataroot may be omitted

    def __init__(self, opt: Namespace) -> None:
        self.opt = opt
        self.root = opt.dataroot

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the flags of this data set to the parser, or change defaults."""
        return parser

    @staticmethod
    def count_classes(opt: Namespace) -> int:
        """The number of classes, 0 without labels; called first, so it raises UserError if the data does not exist."""
        return 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Item: ...

    def files_to_check(self) -> list[str]:
        """The image files that --check_data opens before training starts."""
        return []


class PixelDataset(BaseDataset):
    """A data set whose images are uint8; the loader converts them to float32, on the GPU if there is one.

    Subclasses implement `read` instead of `__getitem__`.

    A class may set `cacheable = True` if its items depend only on its files, the shared flags and the
    numbers it draws from `rng`. Then --cache may keep its prepared images, and the loader does not seed the
    global generators for it. The attribute is valid for that class only: subclasses do not inherit it.
    """

    cacheable = False
    dataroot_must_exist = True  # refuse a --dataroot that does not exist before torch is imported

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        attributes = vars(cls)
        if "repeats" in attributes:
            log.warn(f"{cls.__name__}: the class attribute `repeats` is now called `cacheable`")
        cls.cacheable = bool(attributes.get("cacheable", attributes.get("repeats", False)))

    @abstractmethod
    def read(self, index: int, rng: random.Random) -> Item:
        """An item whose images may be uint8 (C, H, W), with random numbers from `rng`.

        Unless the class is `cacheable`, it may draw from the global generators as well.
        """

    def __getitem__(self, index: int) -> Item:
        return to_floats(self.read(index, item_rng()))


def to_floats(batch: dict[str, Any]) -> dict[str, Any]:
    """An item or a batch with its images, uint8 (..., C, H, W), converted to float32 in [-1, 1]."""
    return {key: to_float(value) if is_pixels(value) else value for key, value in batch.items()}


def is_pixels(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.uint8


def item_rng(source: Any = random) -> random.Random:
    """A generator for one item, seeded from the generator `source`, by default the global one."""
    return random.Random(source.getrandbits(64))


def preprocess_from(opt: Namespace, *, center_size: int = 0) -> Preprocess:
    """The preprocessing of the shared flags; only some data sets have a flag for `center_size`."""
    sizes = {"load_size": opt.load_size, "crop_size": opt.crop_size, "center_size": center_size}
    return Preprocess(opt.preprocess, **sizes, flip=not opt.no_flip)


def channels_from(opt: Namespace) -> tuple[int, int]:
    """The channels of A and of B (A is the input of the model unless --direction is BtoA), see check_channels."""
    channels = check_channels(opt.input_nc, "--input_nc"), check_channels(opt.output_nc, "--output_nc")
    return channels[::-1] if opt.direction == "BtoA" else channels


# ---------------------------------------------------------------------- functions of upstream


def get_params(opt: Namespace, size: Size) -> dict[str, Any]:
    """Draw `crop_pos` and `flip` for an image of `size`; both are arguments of get_transform."""
    draw = preprocess_from(opt).draw(size, item_rng())
    return {"crop_pos": draw.crop_pos, "flip": draw.flip}


def get_transform(
    opt: Namespace,
    params: Mapping[str, Any] | None = None,
    grayscale: bool = False,
    method: Image.Resampling = Image.Resampling.BICUBIC,
    convert: bool = True,
) -> Callable[[Image.Image], Tensor | Image.Image]:
    """The transform of the shared flags: Pillow image -> float32 (C, H, W) in [-1, 1], or without `convert` an image.

    `params` from get_params fix the crop and the flip, so that two images of a pair get the same ones. Without
    them each call draws its own. `method` is the filter for resizing.
    """
    draw = Draw(params["crop_pos"], params["flip"]) if params else None
    preprocess = replace(preprocess_from(opt), resample=method)
    return partial(_transform, preprocess, draw, grayscale=grayscale, convert=convert)


def _transform(
    preprocess: Preprocess, draw: Draw | None, image: Image.Image, *, grayscale: bool, convert: bool
) -> Tensor | Image.Image:
    if grayscale:
        image = image.convert("L")
    image = preprocess.apply(image, draw or preprocess.draw(image.size, item_rng()))
    return to_tensor(image) if convert else image
