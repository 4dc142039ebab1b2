"""One image, or the images of one folder and its sub-folders: the input of a trained generator."""

import os
import random
from argparse import Namespace

from PIL import Image

from data.base_dataset import Item, PixelDataset, preprocess_from
from data.cache.prepared_images import PreparedImages
from data.image_folder import image_paths
from data.images import check_channels, open_image


class SingleDataset(PixelDataset):
    """--dataroot is the folder, or one image file. `A` always has --input_nc channels, for both values of --direction."""

    cacheable = True

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        is_file = os.path.isfile(opt.dataroot)
        self.A_paths = [opt.dataroot] if is_file else image_paths(opt.dataroot, opt.max_dataset_size)
        self.channels = check_channels(opt.input_nc, "--input_nc")
        names = self.A_paths.__getitem__
        self.images = PreparedImages(self, preprocess_from(opt), self._load, names, len(self))

    def __len__(self) -> int:
        return len(self.A_paths)

    def read(self, index: int, rng: random.Random) -> Item:
        (A,) = self.images.crop(index, rng)
        return {"A": A, "A_paths": self.A_paths[index]}

    def files_to_check(self) -> list[str]:
        return list(self.A_paths)

    def _load(self, index: int) -> list[Image.Image]:
        return [open_image(self.A_paths[index], self.channels)]
