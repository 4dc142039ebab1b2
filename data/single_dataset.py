"""The images of one folder, sub-folders included: the input of a trained generator."""

import argparse

from data.base_dataset import BaseDataset, Item, item_rng, preprocess_from
from data.image_folder import make_dataset
from data.images import check_channels, open_image
from data.transforms import to_tensor


class SingleDataset(BaseDataset):
    """--dataroot is the folder itself. `A` always has --input_nc channels: it is what the generator reads."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.A_paths = make_dataset(opt.dataroot, opt.max_dataset_size)
        self.channels = check_channels(opt.input_nc, flag="--input_nc")
        self.preprocess = preprocess_from(opt)

    def __len__(self) -> int:
        return len(self.A_paths)

    def __getitem__(self, index: int) -> Item:
        path = self.A_paths[index]
        image = open_image(path, self.channels)
        draw = self.preprocess.draw(image.size, item_rng())
        return {"A": to_tensor(self.preprocess.apply(image, draw, name=path)), "A_paths": path}

    def files_to_check(self) -> list[str]:
        return self.A_paths
