"""A data set of torchvision: --tv_dataset MNIST, FashionMNIST, CIFAR10, CIFAR100, STL10, CelebA or LSUN."""

import argparse

from data.real_images import RealImages, image_channels
from data.sources.lsun import CATEGORIES
from data.sources.torchvision_sets import SETS, Wanted
from util.errors import UserError


class TorchvisionDataset(RealImages):
    """--dataroot is what torchvision calls root; the phase says whether training or test images are given."""

    repeats = True
    dataroot_must_exist = False  # --download makes it

    @staticmethod
    def modify_commandline_options(
        parser: argparse.ArgumentParser, is_train: bool
    ) -> argparse.ArgumentParser:
        RealImages.modify_commandline_options(parser, is_train)
        parser.add_argument("--tv_dataset", choices=tuple(SETS), default="CIFAR10", help="which one")
        parser.add_argument(
            "--tv_category", choices=CATEGORIES, default="church_outdoor", help="with LSUN: which scenes"
        )
        parser.flag("--download", "fetch the set first if it is not on disk")  # type: ignore[attr-defined]
        chosen = SETS[parser.parse_known_args()[0].tv_dataset]
        if chosen.grey:
            parser.set_defaults(input_nc=1, output_nc=1)
        if not chosen.flips:
            parser.set_defaults(no_flip=True)
        if chosen.center_size:
            parser.set_defaults(preprocess="center", center_size=chosen.center_size)
        return parser

    @staticmethod
    def count_classes(opt: argparse.Namespace) -> int:
        return SETS[opt.tv_dataset].n_classes

    def __init__(self, opt: argparse.Namespace) -> None:
        if opt.phase not in ("train", "test"):
            raise UserError(
                f"--phase {opt.phase}: the parts of --dataset_mode torchvision are train and test"
            )
        wanted = Wanted(
            set_name=opt.tv_dataset,
            root=opt.dataroot,
            phase=opt.phase,
            channels=image_channels(opt),
            category=opt.tv_category,
            download=opt.download,
        )
        super().__init__(opt, SETS[opt.tv_dataset].open(wanted))
