"""Colour images of <phase> in the Lab colour space: A is the lightness, B the two colour channels."""

import random
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from PIL import Image

from data.base_dataset import Item, PixelDataset, preprocess_from
from data.cache.prepared_images import PreparedImages
from data.image_folder import image_paths
from data.images import open_image
from util.errors import UserError
from util.imaging.lab_color import rgb_to_lab

REQUIRED = {"input_nc": 1, "output_nc": 2, "direction": "AtoB"}


class ColorizationDataset(PixelDataset):
    """A (1, H, W) = L / 50 - 1 in [-1, 1]; B (2, H, W) = (a, b) / 110, approximately in [-1, 1]."""

    cacheable = True

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.set_defaults(**REQUIRED)
        return parser

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        for flag, value in REQUIRED.items():
            if getattr(opt, flag) != value:
                raise UserError(
                    f"--{flag} {getattr(opt, flag)} does not fit --dataset_mode colorization, which always "
                    f"translates L to ab; omit the flag or use --{flag} {value}"
                )
        self.AB_paths = image_paths(Path(opt.dataroot, opt.phase), opt.max_dataset_size)
        names = self.AB_paths.__getitem__
        self.images = PreparedImages(self, preprocess_from(opt), self._load, names, len(self))

    def __len__(self) -> int:
        return len(self.AB_paths)

    def read(self, index: int, rng: random.Random) -> Item:
        path = self.AB_paths[index]
        (rgb,) = self.images.crop(index, rng)
        lab = torch.from_numpy(rgb_to_lab(rgb.permute(1, 2, 0).numpy())).permute(2, 0, 1)
        A, B = lab[:1] / 50 - 1, lab[1:] / 110
        return {"A": A.contiguous(), "B": B.contiguous(), "A_paths": path, "B_paths": path}

    def files_to_check(self) -> list[str]:
        return list(self.AB_paths)

    def _load(self, index: int) -> list[Image.Image]:
        return [open_image(self.AB_paths[index], 3)]
