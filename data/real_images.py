"""Data sets whose items are one image, and its label where there is one: their flags, and how an item is made.

A data set of this kind names the Source of its images and leaves the rest to RealImages.
"""

import argparse
import random

import torch
from PIL import Image

from data.base_dataset import Item, PixelDataset, preprocess_from
from data.cache.prepared_images import prepared_from
from data.images import check_channels
from data.sources.source import Source, choose
from util.errors import UserError


class RealImages(PixelDataset):
    """Items {"image": float32 (C, S, S) in [-1, 1], "label": int64 (), "paths"} with --output_nc channels.

    The label is left out where the source has none or the model wants none (n_classes 0).
    """

    @staticmethod
    def modify_commandline_options(
        parser: argparse.ArgumentParser, is_train: bool
    ) -> argparse.ArgumentParser:
        parser.add_argument(
            "--center_size",
            type=int,
            default=0,
            help="with --preprocess center: side of the central square in pixels; 0 = the shorter side",
        )
        parser.flag("--load_in_mem", "keep every image decoded once it is read")  # type: ignore[attr-defined]
        return parser

    def __init__(self, opt: argparse.Namespace, source: Source) -> None:
        super().__init__(opt)
        if opt.center_size and opt.preprocess != "center":
            raise UserError(
                f"--center_size {opt.center_size} is for --preprocess center, not {opt.preprocess}: leave one out"
            )
        self.source = source
        self.preprocess = preprocess_from(opt, center_size=opt.center_size)
        self.chosen = choose(len(source), source.labels, opt.max_dataset_size)
        self.labels = None if vars(opt).get("n_classes") == 0 else source.labels
        self._make(0)  # flags that fit no image are told before anything is built
        self.images = prepared_from(self, self.preprocess, self._make, len(self))

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, index: int, rng: random.Random) -> Item:
        name = self.name(index)
        (image,) = self.images.cut(index, rng, name=name)
        item: Item = {"image": image, "paths": name}
        if self.labels is not None:
            item["label"] = torch.tensor(int(self.labels[self.chosen[index]]))
        return item

    def name(self, index: int) -> str:
        return self.source.name(int(self.chosen[index]))

    def _make(self, index: int) -> list[Image.Image]:
        image = self.source.read(int(self.chosen[index]))
        return [self.preprocess.prepare(image, name=self.name(index))]


def image_channels(opt: argparse.Namespace) -> int:
    """How many channels images are read with: those that the generator makes.

    Raises:
        UserError: image files cannot be read with so many.
    """
    return check_channels(opt.output_nc, flag="--output_nc")
