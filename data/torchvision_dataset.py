"""The data sets of torchvision: --tv_dataset MNIST, FashionMNIST, CIFAR10, CIFAR100, STL10, CelebA or LSUN."""

from argparse import ArgumentParser, Namespace

from data.real_images import RealImages
from data.sources.lsun import CATEGORIES
from data.sources.torchvision_sets import SETS, open_set
from util.errors import UserError


class TorchvisionDataset(RealImages):
    """--dataroot is what torchvision calls `root`; --phase selects training or test images."""

    cacheable = True
    dataroot_must_exist = False  # --download creates it

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        RealImages.modify_commandline_options(parser, is_train)
        parser.add_argument(
            "--tv_dataset", choices=tuple(SETS), default="CIFAR10", help="name of the data set"
        )
        parser.add_argument(
            "--tv_category", choices=CATEGORIES, default="church_outdoor", help="category of LSUN"
        )
        # a run from somebody else must not cause a download
        attributes = {"fresh_start": True, "for_testing": False}
        parser.flag("--download", "download the data set first if it is missing", **attributes)  # type: ignore[attr-defined]
        tv_set = SETS[parser.parse_known_args()[0].tv_dataset]
        if tv_set.grey:
            parser.set_defaults(input_nc=1, output_nc=1)
        if not tv_set.flips:
            parser.set_defaults(no_flip=True)
        if tv_set.center_size:
            parser.set_defaults(preprocess="center", center_size=tv_set.center_size)
        return parser

    @staticmethod
    def count_classes(opt: Namespace) -> int:
        return SETS[opt.tv_dataset].n_classes

    def __init__(self, opt: Namespace) -> None:
        if opt.phase not in ("train", "test"):
            raise UserError(f"--phase {opt.phase}: --dataset_mode torchvision has the phases train and test")
        choice = {"channels": opt.output_nc, "category": opt.tv_category, "download": opt.download}
        super().__init__(opt, open_set(opt.tv_dataset, opt.dataroot, opt.phase, **choice))
