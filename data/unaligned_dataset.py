"""Two folders without pairs, <phase>A and <phase>B: an image of A with a random one of B."""

import argparse
import random
from pathlib import Path

from PIL import Image

from data.base_dataset import Item, PixelDataset, channels_from, preprocess_from
from data.cache.prepared_images import prepared_from
from data.image_folder import image_paths
from data.images import open_image


class UnalignedDataset(PixelDataset):
    """As long as the larger folder; the smaller A starts over, B is drawn anew for each item.

    In testing, and with --serial_batches, B is read in step with A instead.
    """

    repeats = True

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.A_paths = image_paths(Path(opt.dataroot, f"{opt.phase}A"), opt.max_dataset_size)
        self.B_paths = image_paths(Path(opt.dataroot, f"{opt.phase}B"), opt.max_dataset_size)
        self.A_channels, self.B_channels = channels_from(opt)
        self.preprocess = preprocess_from(opt)
        self.in_step = opt.serial_batches or not opt.isTrain
        count = len(self.A_paths) + len(self.B_paths)
        self.images = prepared_from(self, self.preprocess, self._make, count)

    def __len__(self) -> int:
        return max(len(self.A_paths), len(self.B_paths))

    def read(self, index: int, rng: random.Random) -> Item:
        A = index % len(self.A_paths)
        B = index % len(self.B_paths) if self.in_step else rng.randrange(len(self.B_paths))
        item: Item = {"A_paths": self.A_paths[A], "B_paths": self.B_paths[B]}
        (item["A"],) = self.images.cut(A, rng, name=self.A_paths[A])
        (item["B"],) = self.images.cut(len(self.A_paths) + B, rng, name=self.B_paths[B])
        return item

    def files_to_check(self) -> list[str]:
        return [*self.A_paths, *self.B_paths]

    def _make(self, number: int) -> list[Image.Image]:
        """An image of A, or behind the last of them one of B."""
        behind = number - len(self.A_paths)
        path, channels = (
            (self.A_paths[number], self.A_channels) if behind < 0 else (self.B_paths[behind], self.B_channels)
        )
        return [self.preprocess.prepare(open_image(path, channels), name=path)]
