"""Two folders without pairs, <phase>A and <phase>B: an image of A with a random one of B."""

import argparse
from pathlib import Path

from data.base_dataset import BaseDataset, Item, channels_from, item_rng, preprocess_from
from data.image_folder import make_dataset
from data.images import open_image
from data.transforms import to_tensor


class UnalignedDataset(BaseDataset):
    """As long as the larger folder; the smaller A starts over, B is drawn anew for each item.

    In testing, and with --serial_batches, B is read in step with A instead.
    """

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.A_paths = make_dataset(Path(opt.dataroot, f"{opt.phase}A"), opt.max_dataset_size)
        self.B_paths = make_dataset(Path(opt.dataroot, f"{opt.phase}B"), opt.max_dataset_size)
        self.A_channels, self.B_channels = channels_from(opt)
        self.preprocess = preprocess_from(opt)
        self.in_step = opt.serial_batches or not opt.isTrain

    def __len__(self) -> int:
        return max(len(self.A_paths), len(self.B_paths))

    def __getitem__(self, index: int) -> Item:
        rng = item_rng()
        A_path = self.A_paths[index % len(self.A_paths)]
        B_index = index % len(self.B_paths) if self.in_step else rng.randrange(len(self.B_paths))
        B_path = self.B_paths[B_index]
        item: Item = {"A_paths": A_path, "B_paths": B_path}
        for key, path, channels in (("A", A_path, self.A_channels), ("B", B_path, self.B_channels)):
            image = open_image(path, channels)
            item[key] = to_tensor(
                self.preprocess.apply(image, self.preprocess.draw(image.size, rng), name=path)
            )
        return item

    def files_to_check(self) -> list[str]:
        return self.A_paths + self.B_paths
