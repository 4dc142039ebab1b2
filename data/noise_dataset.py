"""Noise for test.py: item i is the latent vector of seed --seed + i, with a class for conditional models."""

import math
from argparse import ArgumentParser, Namespace

import torch

from data.base_dataset import BaseDataset, Item
from util.cli.flag_types import classes, positive_or_inf
from util.errors import UserError
from util.noise import image_name, seeded_z

SEEDS = 2**32  # of the generator that seeded_z uses


class NoiseDataset(BaseDataset):
    """Items {"z": float32 (z_dim,), "label": int64 (), "paths": "seed000007_class03.png"}.

    Consecutive seeds get consecutive classes, of all classes or of --labels. A model without classes gets no label.
    """

    needs_dataroot = False

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.add_argument(
            "--truncation",
            type=positive_or_inf,
            default=math.inf,
            metavar="X",
            help="limit the numbers of z to [-X, X]: lower values give cleaner images of less variety; inf means no limit",
        )
        about = "classes to generate, separated by commas, e.g. 3,5 (default: all)"
        parser.add_argument("--labels", type=classes, default=[], metavar="NUMBERS", help=about)
        return parser

    @staticmethod
    def count_classes(opt: Namespace) -> int:
        return vars(opt).get("n_classes") or 0

    def __init__(self, opt: Namespace) -> None:
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


def check(opt: Namespace) -> None:
    """Raise UserError for options that noise cannot be drawn for."""
    if opt.isTrain:
        raise UserError("--dataset_mode noise has no images to train on; it is for test.py")
    if "z_dim" not in opt:
        raise UserError(
            "--dataset_mode noise is for models that generate images from noise, but "
            f"--model {opt.model} translates images: use the --dataset_mode of its images"
        )
    if math.isinf(opt.num_test):
        raise UserError("--num_test all: noise is unlimited; give the number of images to generate")
    if opt.seed + opt.num_test > SEEDS:
        raise UserError(
            f"--seed {opt.seed} with --num_test {int(opt.num_test)} needs seeds above the largest one, {SEEDS - 1}: "
            "use smaller numbers"
        )
    labels = ",".join(map(str, opt.labels))
    if labels and not opt.n_classes:
        raise UserError(f"--labels {labels}: this model has no classes; omit the flag")
    wrong = [label for label in opt.labels if not 0 <= label < opt.n_classes]
    if wrong:
        raise UserError(
            f"--labels {labels}: this model has no class {wrong[0]}, only 0 to {opt.n_classes - 1}"
        )
