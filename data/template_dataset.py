"""A start for a dataset of your own: the images of one folder, and each with changed contrast.

To write a dataset called `foo`:

1. Copy this file to `foo_dataset.py`, here or in a folder that you name with --plugin_path, and rename the
   class to `FooDataset`. --dataset_mode foo finds it by these two names.
2. `modify_commandline_options` adds your flags, or changes defaults of the common ones.
3. `__init__` finds the files and takes from `opt` all that the items need.
4. `__getitem__` reads one item and returns a dict of the keys listed in base_dataset.py.
5. `__len__` says how many items there are.

Draw random numbers as you like: the loader seeds `random`, `numpy.random` and torch for each item.
A person's mistake is a UserError: what is wrong, where, and what to do, in one sentence.
"""

import argparse

from data.base_dataset import BaseDataset, Item, item_rng, preprocess_from
from data.image_folder import make_dataset
from data.images import check_channels, open_image
from data.transforms import to_tensor


class TemplateDataset(BaseDataset):
    """A: the images of --dataroot. B: the same with --new_dataset_option times the contrast."""

    @staticmethod
    def modify_commandline_options(
        parser: argparse.ArgumentParser, is_train: bool
    ) -> argparse.ArgumentParser:
        parser.add_argument(
            "--new_dataset_option", type=float, default=1.0, help="contrast of B over that of A"
        )
        parser.set_defaults(max_dataset_size=10, new_dataset_option=2.0)
        return parser

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.paths = make_dataset(opt.dataroot, opt.max_dataset_size)
        self.channels = check_channels(opt.input_nc, flag="--input_nc")
        self.preprocess = preprocess_from(opt)
        self.contrast = opt.new_dataset_option

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        path = self.paths[index]
        image = open_image(path, self.channels)
        A = to_tensor(self.preprocess.apply(image, self.preprocess.draw(image.size, item_rng()), name=path))
        B = (A * self.contrast).clamp(-1, 1)
        return {"A": A, "B": B, "A_paths": path, "B_paths": path}

    def files_to_check(self) -> list[str]:
        return self.paths
