"""The flags of test.py."""

from argparse import Namespace
from pathlib import Path

from options import checks, saved_options
from options.base_options import BaseOptions
from options.parser import Parser, count_or_all, names, number
from util import plugins
from util.cli.flag_types import path


class TestOptions(BaseOptions):
    __test__ = False  # pytest would collect it as a test case

    prog = "test.py"
    is_train = False
    rules = (*BaseOptions.rules, checks.place_for_results)

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

    def inherited(self, run: saved_options.Options) -> saved_options.Options:
        """The options that determine the networks and their input, and the flags of the run's plugins."""
        options = {name: value for name, value in run.items() if self.parser.attributes(name).for_testing}
        if run.get("preprocess") == "resize" and "load_size" in run:
            options["load_size"] = run["load_size"]  # the size that the networks saw
        return options

    def _uses_data_of_run(self, opt: Namespace, run: saved_options.Options) -> bool:
        other_data = plugins.find("model", opt.model, opt.plugin_path).test_dataset is not None
        return not other_data and opt.model == run.get("model", opt.model)


def results_folder(opt: Namespace) -> Path:
    """results/<name>/<phase>_<epoch>[_iter<n>]."""
    iteration = f"_iter{opt.load_iter}" if opt.load_iter else ""
    return Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}{iteration}"
