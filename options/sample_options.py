"""The flags of scripts/sample.py."""

import argparse
import math
from argparse import Namespace

from options import checks
from options.base_options import BaseOptions
from options.parser import Parser, names, positive_or_inf, whole
from options.test_options import TestOptions
from util.errors import UserError


class SampleOptions(TestOptions):
    prog = "sample.py"
    rules = (*BaseOptions.rules, checks.place_for_results, checks.there_is_a_run)

    def initialize(self, parser: Parser) -> None:
        super().initialize(parser)
        with parser.section("sheets"):
            parser.add_argument(
                "--sheets",
                type=names,
                default=[],
                metavar="NAMES",
                help="with commas: grid, classes, interpolate_z, interpolate_label, interpolate_both, truncation, "
                "attention; default: all that fit the model",
            )
            parser.add_argument(
                "--columns", type=whole(1), default=8, help="seeds side by side; rows of an interpolation"
            )
            parser.add_argument(
                "--steps", type=whole(2), default=8, help="images of an interpolation, its ends among them"
            )
            parser.add_argument(
                "--truncations",
                type=truncations,
                default=[0.1, 0.4, 0.7, 1.0, 2.0, math.inf],
                metavar="NUMBERS",
                help="rows of the truncation sheet, inf = none",
            )
            parser.flag("--gif", "write interpolation.gif, too: a closed loop through several seeds")
            parser.add_argument("--frames", type=whole(2), default=60, help="images of the loop")
            parser.add_argument("--fps", type=whole(1, 50), default=15, help="images of the loop a second")
        parser.set_defaults(phase="samples")

    def _check_plugins(self, opt: Namespace) -> None:
        if "z_dim" not in opt:
            raise UserError(
                f"--model {opt.model} makes images from images, and sheets are for models that start from noise: "
                "run test.py instead"
            )
        if opt.dataset_mode != "noise":
            raise UserError(
                f"--dataset_mode {opt.dataset_mode}: sheets are made of noise; leave the flag out"
            )
        super()._check_plugins(opt)
        _check_noise(opt)


def _check_noise(opt: Namespace) -> None:
    from data import noise_dataset  # which the parser has loaded, and torch with it
    from util.imaging.sheets import most_seeds

    opt.num_test = most_seeds(opt.columns)
    if opt.seed + opt.num_test > noise_dataset.SEEDS:
        raise UserError(
            f"--seed {opt.seed} with --columns {opt.columns} leads beyond the last seed of noise, "
            f"{noise_dataset.SEEDS - 1}; lower one"
        )
    noise_dataset.check(opt)


def truncations(word: str) -> list[float]:
    """`0.5,inf` -> [0.5, inf]; a type for argparse."""
    values = [positive_or_inf(part) for part in names(word)]
    if not values:
        raise argparse.ArgumentTypeError(f"{word!r} holds no number; give some, as in 0.5,1,inf")
    return values
