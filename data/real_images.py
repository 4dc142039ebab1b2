"""Data sets whose items are one image, and its label where there is one: their flags, and how an item is made.

A data set of this kind names the Source of its images and leaves the rest to RealImages.
"""

import argparse

import torch
from PIL import Image

from data.base_dataset import BaseDataset, Item, item_rng, preprocess_from
from data.held_images import HeldImages, hold
from data.images import check_channels
from data.sources import Source, choose
from data.transforms import to_tensor
from util.errors import UserError


class RealImages(BaseDataset):
    """Items {"image": float32 (C, S, S) in [-1, 1], "label": int64 (), "paths"} with --output_nc channels.

    The label is left out where the source has none or the model wants none (n_classes 0). `held` are the
    images as the part of --preprocess leaves them that is the same each time, with --load_in_mem.
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
        parser.flag("--load_in_mem", "read every image once and keep it decoded")  # type: ignore[attr-defined]
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
        self.held: HeldImages | None = None
        self._prepared(0)  # flags that fit no image are told before anything is built
        if opt.load_in_mem:
            self.held = hold(self._prepared, len(self), threads=opt.num_threads)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Item:
        name = self.name(index)
        image = self._prepared(index) if self.held is None else self.held[index]
        draw = self.preprocess.draw_prepared(image.size, item_rng())
        image = self.preprocess.finish(image, draw, name=name)
        item: Item = {"image": to_tensor(image), "paths": name}
        if self.labels is not None:
            item["label"] = torch.tensor(int(self.labels[self.chosen[index]]))
        return item

    def name(self, index: int) -> str:
        return self.source.name(int(self.chosen[index]))

    def _prepared(self, index: int) -> Image.Image:
        image = self.source.read(int(self.chosen[index]))
        return self.preprocess.prepare(image, name=self.name(index))


def image_channels(opt: argparse.Namespace) -> int:
    """How many channels images are read with: those that the generator makes.

    Raises:
        UserError: image files cannot be read with so many.
    """
    return check_channels(opt.output_nc, flag="--output_nc")
