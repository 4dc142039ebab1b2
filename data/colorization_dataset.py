"""Colour images of <phase> in Lab: A is the lightness, B the two colour channels."""

import argparse
import random
from pathlib import Path

import torch
from PIL import Image

from data.base_dataset import Item, PixelDataset, preprocess_from
from data.cache.prepared_images import prepared_from
from data.image_folder import image_paths
from data.images import open_image
from util.errors import UserError
from util.imaging.lab_color import rgb_to_lab

FIXED = {"input_nc": 1, "output_nc": 2, "direction": "AtoB"}


class ColorizationDataset(PixelDataset):
    """A (1, H, W) = L / 50 - 1 in [-1, 1]; B (2, H, W) = (a, b) / 110, within about [-1, 1]."""

    repeats = True

    @staticmethod
    def modify_commandline_options(
        parser: argparse.ArgumentParser, is_train: bool
    ) -> argparse.ArgumentParser:
        parser.set_defaults(**FIXED)
        return parser

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        for flag, value in FIXED.items():
            if getattr(opt, flag) != value:
                raise UserError(
                    f"--{flag} {getattr(opt, flag)} does not fit --dataset_mode colorization, which always "
                    f"goes from L to ab; leave the flag out or give --{flag} {value}"
                )
        self.AB_paths = image_paths(Path(opt.dataroot, opt.phase), opt.max_dataset_size)
        self.preprocess = preprocess_from(opt)
        self.images = prepared_from(self, self.preprocess, self._make, len(self))

    def __len__(self) -> int:
        return len(self.AB_paths)

    def read(self, index: int, rng: random.Random) -> Item:
        path = self.AB_paths[index]
        (rgb,) = self.images.cut(index, rng, name=path)
        lab = torch.from_numpy(rgb_to_lab(rgb.permute(1, 2, 0).numpy())).permute(2, 0, 1)
        A, B = lab[:1] / 50 - 1, lab[1:] / 110
        return {"A": A.contiguous(), "B": B.contiguous(), "A_paths": path, "B_paths": path}

    def files_to_check(self) -> list[str]:
        return list(self.AB_paths)

    def _make(self, index: int) -> list[Image.Image]:
        path = self.AB_paths[index]
        return [self.preprocess.prepare(open_image(path, 3), name=path)]
