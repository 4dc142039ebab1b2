"""The contract of a dataset plugin, and the classic helpers that plugin files import from here.

Batch keys, shared by all datasets and models:

    A, B, image                 float32 (C, H, W) in [-1, 1]
    label                       int64
    z                           float32
    A_paths, B_paths, paths     strings
"""

import argparse
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import torch
from PIL import Image
from torch import Tensor

from data.images import check_channels
from data.transforms import Draw, Preprocess, Size, to_float, to_tensor

Item = dict[str, Tensor | str]


class BaseDataset(torch.utils.data.Dataset, ABC):
    """A set of items, each a dict of the batch keys above.

    What an item draws at random may come from the global generators (`random`, `numpy.random`, torch):
    the loader seeds them for each item, so that a resumed run draws what the uninterrupted one would.
    """

    needs_dataroot = True  # False: --dataroot may be left out

    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.root = opt.dataroot

    @staticmethod
    def modify_commandline_options(
        parser: argparse.ArgumentParser, is_train: bool
    ) -> argparse.ArgumentParser:
        """Add this dataset's flags to the parser, or change defaults."""
        return parser

    @staticmethod
    def count_classes(opt: argparse.Namespace) -> int:
        """How many classes the labels tell apart, 0 without labels; found before anything is built or read.

        Raises:
            UserError: the data is not there, or not laid out as it should be.
        """
        return 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Item: ...

    def files_to_check(self) -> list[str]:
        """The image files that --check_data opens before training starts; none unless overridden."""
        return []


class PixelDataset(BaseDataset):
    """A data set that gives its images with 8 bits: the loader makes floats of them, on the device if it can.

    It writes `read` in place of `__getitem__`, which gives the same item with floats.

    `repeats = True`, which a class says for itself alone and subclasses do not inherit, promises: an item
    depends on nothing but its files, the shared flags and what it draws from `rng`. Its prepared images may
    then be kept, and it is read without seeding the global generators.
    """

    repeats = False
    dataroot_must_exist = True  # a --dataroot that does not exist is refused, before torch is imported

    @abstractmethod
    def read(self, index: int, rng: random.Random) -> Item:
        """An item; its images may be uint8 (C, H, W), and what it draws at random comes from `rng`.

        Without `repeats` it may draw from the global generators as well.
        """

    def __getitem__(self, index: int) -> Item:
        return floats(self.read(index, item_rng()))


def repeats(dataset: Any) -> bool:
    """Whether its own class says so: a subclass may read other images, or draw from the global generators."""
    return bool(vars(type(dataset)).get("repeats"))


def is_pixels(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.dtype == torch.uint8


def floats(batch: dict[str, Any]) -> dict[str, Any]:
    """An item or a batch with its pixels, uint8 (..., C, H, W), as float32 in [-1, 1]."""
    return {key: to_float(value) if is_pixels(value) else value for key, value in batch.items()}


def item_rng(source: Any = random) -> random.Random:
    """A generator for one item, started from `source`: a generator, or else the global one."""
    return random.Random(source.getrandbits(64))


def preprocess_from(opt: argparse.Namespace, *, center_size: int = 0) -> Preprocess:
    """The shared flags of preprocessing; `center_size` is a flag of some data sets alone."""
    return Preprocess(
        mode=opt.preprocess,
        load_size=opt.load_size,
        crop_size=opt.crop_size,
        center_size=center_size,
        flip=not opt.no_flip,
    )


def channels_from(opt: argparse.Namespace) -> tuple[int, int]:
    """The channels of A and of B: the model's input is A, unless --direction is BtoA.

    Raises:
        UserError: image files cannot be read with so many channels.
    """
    model_input = check_channels(opt.input_nc, flag="--input_nc")
    model_output = check_channels(opt.output_nc, flag="--output_nc")
    return (model_output, model_input) if opt.direction == "BtoA" else (model_input, model_output)


def get_params(opt: argparse.Namespace, size: Size) -> dict[str, Any]:
    """Draw `crop_pos` and `flip` for an image of `size`, to hand to get_transform; classic form."""
    draw = preprocess_from(opt).draw(size, item_rng())
    return {"crop_pos": draw.crop_pos, "flip": draw.flip}


@dataclass(frozen=True)
class ClassicTransform:
    """What get_transform returns: a Pillow image -> float32 (C, H, W) in [-1, 1], or an image."""

    preprocess: Preprocess
    draw: Draw | None  # None: drawn anew for each image
    grayscale: bool
    convert: bool

    def __call__(self, image: Image.Image) -> Tensor | Image.Image:
        if self.grayscale:
            image = image.convert("L")
        draw = self.draw or self.preprocess.draw(image.size, item_rng())
        image = self.preprocess.apply(image, draw)
        return to_tensor(image) if self.convert else image


def get_transform(
    opt: argparse.Namespace,
    params: Mapping[str, Any] | None = None,
    grayscale: bool = False,
    method: Image.Resampling = Image.Resampling.BICUBIC,
    convert: bool = True,
) -> ClassicTransform:
    """The transform that `opt` describes; classic form.

    `params` from get_params fix crop and flip, so that two images of a pair get the same ones; without
    them each call draws its own. `method` is the filter for resizing.
    """
    draw = Draw(params["crop_pos"], params["flip"]) if params else None
    return ClassicTransform(replace(preprocess_from(opt), resample=method), draw, grayscale, convert)
