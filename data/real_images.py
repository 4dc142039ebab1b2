"""The base class of data sets for noise-to-image models: items are one image, with its label if there is one."""

import random
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from data.base_dataset import Item, PixelDataset, preprocess_from
from data.cache.prepared_images import PreparedImages
from data.class_folders import renumbered
from data.images import check_channels
from data.sources.source import ImageFiles, Source, select_indices
from util import log
from util.cli.flag_types import whole
from util.errors import UserError

MAX_PRINTED = 20  # classes


class RealImages(PixelDataset):
    """Items {"image": float32 (C, S, S) in [-1, 1], "label": int64 (), "paths"}, where C is --output_nc.

    A subclass only supplies the source of the images, which has --output_nc channels. Items have no label if the source has none or if the
    model uses none (--n_classes 0).
    """

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.add_argument(
            "--center_size",
            type=whole(0),
            default=0,
            help="side of the central square with --preprocess center, in pixels; 0 means the shorter side",
        )
        parser.flag("--load_in_mem", "the former name of --cache memory")  # type: ignore[attr-defined]
        return parser

    def __init__(self, opt: Namespace, source: Source) -> None:
        super().__init__(opt)
        check_channels(opt.output_nc, "--output_nc")
        if opt.center_size and opt.preprocess != "center":
            raise UserError(
                f"--center_size {opt.center_size} requires --preprocess center, not {opt.preprocess}: omit one of them"
            )
        if not len(source):
            raise UserError(f"--dataroot {opt.dataroot} contains no images of --phase {opt.phase}")
        self.source = source
        self.preprocess = preprocess_from(opt, center_size=opt.center_size)
        self.indices = select_indices(len(source), source.labels, opt.max_dataset_size)
        self.labels = None if vars(opt).get("n_classes") == 0 else source.labels
        if self.labels is not None and source.classes:
            self._match_classes(self.labels, source.classes)
        # report flags that fit no image before the slow part of the start
        self.preprocess.prepare(*self._load(0), name=self.name(0))
        self.images = PreparedImages(self, self.preprocess, self._load, self.name, len(self))

    def _match_classes(self, labels: np.ndarray, names: Sequence[str]) -> None:
        """Number the classes as the run does, by name; a new run records the names in its options."""
        opt = self.opt
        trained = vars(opt).get("class_names") or names
        self.labels = renumbered(labels, names, trained=trained, where=opt.dataroot)
        if opt.isTrain:
            opt.class_names = list(trained)
            words = [f"{number} {name}" for number, name in enumerate(trained)]
            if len(words) > MAX_PRINTED:
                words[MAX_PRINTED:-1] = ["..."]
            log.info(f"classes: {', '.join(words)}")

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int, rng: random.Random) -> Item:
        (image,) = self.images.crop(index, rng)
        item: Item = {"image": image, "paths": self.name(index)}
        if self.labels is not None:
            item["label"] = torch.tensor(int(self.labels[self.indices[index]]))
        return item

    def name(self, index: int) -> str:
        return self.source.name(int(self.indices[index]))

    def files_to_check(self) -> list[str]:
        is_files = isinstance(self.source, ImageFiles)
        return [self.name(index) for index in range(len(self))] if is_files else []

    def _load(self, index: int) -> list[Image.Image]:
        return [self.source.read(int(self.indices[index]))]
