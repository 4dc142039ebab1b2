"""A template for your own data set: the images of one folder, and the same images with another contrast.

To write a data set called `foo`:

1. Copy this file to `foo_dataset.py`, here or in a folder that you pass to --plugin_path, and rename the class to
   `FooDataset`. --dataset_mode foo finds it by these two names.
2. `modify_commandline_options` adds your flags, or changes defaults of the shared ones.
3. `__init__` finds the files and reads from `opt` what the items need.
4. `__getitem__` returns one item: a dict with the keys listed in base_dataset.py.
5. `__len__` returns the number of items.

Random numbers may come from `random`, `numpy.random` and torch: the loader seeds them for each item.
Report mistakes of the user with a UserError: what is wrong, where, and what to do, in one sentence.
"""

from argparse import ArgumentParser, Namespace

from data.base_dataset import BaseDataset, Item, item_rng, preprocess_from
from data.image_folder import make_dataset
from data.images import check_channels, open_image
from data.transforms import to_tensor


class TemplateDataset(BaseDataset):
    """A: the images of --dataroot. B: the same images with --new_dataset_option times their contrast."""

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.add_argument(
            "--new_dataset_option", type=float, default=1.0, help="the contrast of B divided by that of A"
        )
        parser.set_defaults(max_dataset_size=10, new_dataset_option=2.0)
        return parser

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.paths = make_dataset(opt.dataroot, opt.max_dataset_size)
        self.channels = check_channels(opt.input_nc, "--input_nc")
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
