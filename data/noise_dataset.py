"""Noise to make images from: item i is the latent vector, and the class, of seed --seed + i, the same for ever."""

import argparse
import math

import torch

from data.base_dataset import BaseDataset, Item
from util.cli.flag_types import classes, positive_or_inf
from util.errors import UserError
from util.noise import image_name, seeded_z

SEEDS = 2**32  # as many as the generator behind seeded_z knows


class NoiseDataset(BaseDataset):
    """Items {"z": float32 (z_dim,), "label": int64 (), "paths": "seed000007_class03.png"}; for test.py.

    The classes go round with the seeds, or those of --labels do. A model without classes gets no label.
    """

    needs_dataroot = False

    @staticmethod
    def modify_commandline_options(
        parser: argparse.ArgumentParser, is_train: bool
    ) -> argparse.ArgumentParser:
        parser.add_argument(
            "--truncation",
            type=positive_or_inf,
            default=math.inf,
            help="draw each number of z within +- this: lower is more alike and cleaner; inf = anywhere",
        )
        parser.add_argument(
            "--labels",
            type=classes,
            default=[],
            metavar="NUMBERS",
            help="classes to make, e.g. 3,5; default: all",
        )
        return parser

    @staticmethod
    def count_classes(opt: argparse.Namespace) -> int:
        return vars(opt).get("n_classes") or 0

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        check(opt)
        self.first_seed, self.count = opt.seed, int(opt.num_test)
        self.z_dim, self.truncation = opt.z_dim, opt.truncation
        self.labels = opt.labels or list(range(opt.n_classes))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        seed = self.first_seed + index
        z = seeded_z(seed, self.z_dim, self.truncation)
        if not self.labels:
            return {"z": z, "paths": image_name(seed)}
        label = self.labels[seed % len(self.labels)]
        return {"z": z, "label": torch.tensor(label), "paths": image_name(seed, label)}


def check(opt: argparse.Namespace) -> None:
    """Refuse what noise cannot be drawn for.

    Raises:
        UserError: with the flags, their values and the way out.
    """
    if opt.isTrain:
        raise UserError("--dataset_mode noise has no images to learn from; it is for test.py")
    if "z_dim" not in opt:
        raise UserError(
            "--dataset_mode noise feeds models that start from noise, and "
            f"--model {opt.model} starts from images: give the --dataset_mode that holds them"
        )
    if math.isinf(opt.num_test):
        raise UserError("--num_test all: noise has no end; give how many images to make")
    if opt.seed + opt.num_test > SEEDS:
        raise UserError(
            f"--seed {opt.seed} and --num_test {int(opt.num_test)} lead beyond the last seed of noise, {SEEDS - 1}; "
            "lower one"
        )
    if opt.labels and not opt.n_classes:
        raise UserError(f"--labels {_joined(opt.labels)}: this model knows no classes; leave the flag out")
    wrong = [label for label in opt.labels if not 0 <= label < opt.n_classes]
    if wrong:
        raise UserError(
            f"--labels {_joined(opt.labels)}: {wrong[0]} is no class; the model's are 0 to {opt.n_classes - 1}"
        )


def _joined(labels: list[int]) -> str:
    return ",".join(map(str, labels))
