"""The images of one folder, sub-folders included: the input of a trained generator."""

import argparse
import random

from PIL import Image

from data.base_dataset import Item, PixelDataset, preprocess_from
from data.cache.prepared_images import prepared_from
from data.image_folder import image_paths
from data.images import check_channels, open_image


class SingleDataset(PixelDataset):
    """--dataroot is the folder itself. `A` always has --input_nc channels: it is what the generator reads."""

    repeats = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.A_paths = image_paths(opt.dataroot, opt.max_dataset_size)
        self.channels = check_channels(opt.input_nc, flag="--input_nc")
        self.preprocess = preprocess_from(opt)
        self.images = prepared_from(self, self.preprocess, self._make, len(self))

    def __len__(self) -> int:
        return len(self.A_paths)

    def read(self, index: int, rng: random.Random) -> Item:
        path = self.A_paths[index]
        (A,) = self.images.cut(index, rng, name=path)
        return {"A": A, "A_paths": path}

    def files_to_check(self) -> list[str]:
        return list(self.A_paths)

    def _make(self, index: int) -> list[Image.Image]:
        path = self.A_paths[index]
        return [self.preprocess.prepare(open_image(path, self.channels), name=path)]
