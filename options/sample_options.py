"""The flags of scripts/sample.py."""

import argparse
import math
from argparse import Namespace

from options import checks
from options.parser import Parser, names, positive_or_inf, whole
from options.test_options import TestOptions
from util.errors import UserError

# flags of test.py that --help of sample.py shows
SHOWN = "name checkpoints_dir epoch results_dir seed device batch_size no_ema".split()


class SampleOptions(TestOptions):
    prog = "sample.py"
    needs_data = False
    rules = (*TestOptions.rules, checks.there_is_a_run)
    early_rules = (checks.there_is_a_run,)

    def initialize(self, parser: Parser) -> None:
        super().initialize(parser)
        for action in parser._actions:
            if action.dest not in SHOWN:
                action.help = argparse.SUPPRESS
        parser.usage = "sample.py --name RUN [flags]"
        parser.epilog = "The flags of test.py are accepted as well: see test.py --help."
        add = parser.option
        with parser.section("sheets"):
            about = (
                "sheets to write: any of grid, classes, interpolate_z, interpolate_label, interpolate_both, "
                "truncation, attention, separated by commas (default: all that the model supports)"
            )
            add("--sheets", names, [], about, metavar="NAMES")
            add(
                "--columns",
                whole(1, 1000),
                8,
                "number of seeds side by side, and of interpolations in a sheet",
            )
            add("--steps", whole(2, 1000), 8, "number of images in an interpolation, including both ends")
            about = "truncation of each row of the truncation sheet, separated by commas; inf means none"
            default = [0.1, 0.4, 0.7, 1.0, 2.0, math.inf]
            add("--truncations", truncations, default, about, metavar="NUMBERS")
            about = "also write interpolation.gif, an animation that interpolates between seeds in a loop"
            parser.flag("--gif", about)
            add("--frames", whole(2, 100_000), 60, "number of frames of the animation")
            add("--fps", whole(1, 50), 15, "frames per second of the animation")
        parser.set_defaults(phase="samples")

    def _check_plugins(self, opt: Namespace) -> None:
        if "z_dim" not in opt:
            raise UserError(
                f"--model {opt.model} translates images, but sheets need a model that generates images from noise: "
                "run test.py instead"
            )
        if opt.dataset_mode != "noise":
            raise UserError(f"--dataset_mode {opt.dataset_mode}: sheets are made from noise; omit the flag")
        super()._check_plugins(opt)
        from data import noise_dataset  # imports torch
        from util.imaging.sheets import most_seeds

        opt.num_test = most_seeds(opt.columns)
        if opt.seed + opt.num_test > noise_dataset.SEEDS:
            raise UserError(
                f"--seed {opt.seed} with --columns {opt.columns} needs seeds above the largest one, "
                f"{noise_dataset.SEEDS - 1}: use a smaller --seed"
            )
        noise_dataset.check(opt)


def truncations(word: str) -> list[float]:
    """`0.5,inf` -> [0.5, inf]."""
    values = [positive_or_inf(part) for part in names(word)]
    if not values:
        raise argparse.ArgumentTypeError(
            f"{word!r} contains no number; write numbers separated by commas, e.g. 0.5,1,inf"
        )
    return values
