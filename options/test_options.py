"""The flags of test.py."""

from argparse import Namespace
from contextlib import suppress
from itertools import chain
from pathlib import Path

from options import checks, saved_options
from options.base_options import BaseOptions, Rule
from options.parser import Parser, count_or_all, names, number
from util import plugins
from util.cli.flag_types import path
from util.errors import RunFault, UserError


class TestOptions(BaseOptions):
    __test__ = False  # pytest would collect it as a test case

    prog = "test.py"
    _direction_of_run = "AtoB"
    is_train = False
    rules: tuple[Rule, ...] = (
        *BaseOptions.rules,
        lambda opt: photographs(opt),
        checks.place_for_results,
    )

    def initialize(self, parser: Parser) -> None:
        super().initialize(parser)
        add = parser.option
        with parser.section("results"):
            add("--results_dir", path, "./results/", "folder for the pages of results")
            about = "part of the data set to use, e.g. test or train"
            add("--phase", str, "test", about, changes_pixels=True)
            add("--num_test", count_or_all, 50, "number of items to test, or all", metavar="N")
            add(
                "--aspect_ratio",
                number(least=0.01, most=100),
                1.0,
                "factor by which to widen the resulting images",
            )
            parser.flag("--eval", "put batch norm and dropout into evaluation mode instead of training mode")
            parser.flag("--no_ema", "load the weights themselves instead of their moving average")
            about = "kinds of images to save, separated by commas, e.g. real_A,fake_B (default: all)"
            add("--save_only", names, [], about, metavar="LABELS")
        parser.set_defaults(model="test", num_threads=0, serial_batches=True, no_flip=True)
        parser.note_defaults(load_size="the value of --crop_size", num_threads="0")
        parser.note_defaults(no_flip="always on in testing", serial_batches="always on in testing")

    def finish(self, opt: Namespace) -> None:
        if "load_size" not in self.parser.given() and opt.preprocess != "resize":
            opt.load_size = opt.crop_size
        opt.no_flip = opt.serial_batches = True
        opt.reversed = opt.direction != self._direction_of_run

    def inherited(self, run: saved_options.Options) -> saved_options.Options:
        """The options that determine the networks and their input, and the flags of the run's plugins."""
        options = {name: value for name, value in run.items() if self.parser.attributes(name).for_testing}
        if run.get("preprocess") == "resize" and "load_size" in run:
            options["load_size"] = run["load_size"]  # the size that the networks saw
        self._direction_of_run = run.get("direction", "AtoB")
        given, _ = self.parser.parse_known_args()
        # both directions, and one generator of a run, are choices of the user: no reason to warn
        choices = {"direction"} | ({"model"} if given.model == "test" else set())
        for name in choices & self.parser.explicit():
            options.pop(name, None)
        return options

    def save(self, opt: Namespace) -> None:
        """Write the options into the run's folder, as upstream; a folder on a read-only disk stays as it is."""
        with suppress(RunFault):
            super().save(opt)

    def _uses_data_of_run(self, opt: Namespace, run: saved_options.Options) -> bool:
        other_data = plugins.find("model", opt.model, opt.plugin_path).test_dataset is not None
        return not other_data and opt.model == run.get("model", opt.model)


def photographs(opt: Namespace) -> None:
    """Refuse a file or a folder of images for a run whose data set needs sub-folders, and lead to --model test."""
    from data.image_folder import is_image_file  # imports numpy

    if opt.dataset_mode not in ("unaligned", "aligned") or not opt.dataroot:
        return
    root, phases = Path(opt.dataroot), (opt.phase, "train", "test", "val")
    if any((root / f"{phase}{side}").is_dir() for phase in phases for side in ("A", "")):
        return
    if root.is_file() or any(is_image_file(file.name) for file in chain(root.glob("*"), root.glob("*/*"))):
        missing = f"{opt.phase}{'A' * (opt.dataset_mode == 'unaligned')}"
        raise UserError(
            f"--dataroot {root} has no folder {missing}: add --model test to translate the images of {root} itself "
            "(--direction BtoA: in the other direction), or name the folder of a data set"
        )


def results_folder(opt: Namespace) -> Path:
    """results/<name>/<phase>_<epoch>[_iter<n>]."""
    iteration = f"_iter{opt.load_iter}" if opt.load_iter else ""
    return Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}{iteration}"
