"""Two folders without pairs, <phase>A and <phase>B: an image of A with a random image of B."""

import random
from argparse import Namespace
from pathlib import Path

from PIL import Image

from data.base_dataset import Item, PixelDataset, channels_from, preprocess_from
from data.cache.prepared_images import PreparedImages
from data.image_folder import image_paths
from data.images import open_image


class UnalignedDataset(PixelDataset):
    """As many items as the larger folder has images; a smaller A starts over, and B is drawn for each item.

    In testing and with --serial_batches, B is not drawn: item i has image i of both folders, and a smaller B
    starts over as well.
    """

    cacheable = True

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.A_paths = image_paths(Path(opt.dataroot, f"{opt.phase}A"), opt.max_dataset_size)
        self.B_paths = image_paths(Path(opt.dataroot, f"{opt.phase}B"), opt.max_dataset_size)
        self.A_channels, self.B_channels = channels_from(opt)
        self.is_serial = opt.serial_batches or not opt.isTrain
        count = len(self.A_paths) + len(self.B_paths)
        self.images = PreparedImages(self, preprocess_from(opt), self._load, self._path, count)

    def __len__(self) -> int:
        return max(len(self.A_paths), len(self.B_paths))

    def read(self, index: int, rng: random.Random) -> Item:
        A = index % len(self.A_paths)
        B = index % len(self.B_paths) if self.is_serial else rng.randrange(len(self.B_paths))
        item: Item = {"A_paths": self.A_paths[A], "B_paths": self.B_paths[B]}
        (item["A"],) = self.images.crop(A, rng)
        (item["B"],) = self.images.crop(len(self.A_paths) + B, rng)
        return item

    def files_to_check(self) -> list[str]:
        return [*self.A_paths, *self.B_paths]

    def _path(self, number: int) -> str:
        """The path of an image of A or, for numbers from len(A_paths) on, of B."""
        first_B = len(self.A_paths)
        return self.A_paths[number] if number < first_B else self.B_paths[number - first_B]

    def _load(self, number: int) -> list[Image.Image]:
        channels = self.A_channels if number < len(self.A_paths) else self.B_channels
        return [open_image(self._path(number), channels)]
