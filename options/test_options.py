"""The flags of test.py."""

from argparse import Namespace
from pathlib import Path

from options import checks, saved_options
from options.base_options import INHERITED, BaseOptions
from options.parser import Parser, count_or_all, names, number
from util import plugins


class TestOptions(BaseOptions):
    __test__ = False  # not a test case, whatever pytest makes of the name

    prog = "test.py"
    is_train = False
    rules = (*BaseOptions.rules, checks.place_for_results, checks.data_of_ours)

    def initialize(self, parser: Parser) -> None:
        super().initialize(parser)
        with parser.section("results"):
            parser.add_argument("--results_dir", default="./results/", help="where pages of results go")
            parser.add_argument("--phase", default="test", help="which part of the data set")
            parser.add_argument("--num_test", type=count_or_all, default=50, help="how many images, or all")
            parser.add_argument(
                "--aspect_ratio",
                type=number(above=0),
                default=1.0,
                help="stretch the width of results by this",
            )
            parser.flag("--eval", "batch norm and dropout as learned, instead of as in training")
            parser.flag("--no_ema", "use the last weights even where there are averaged ones")
            parser.add_argument(
                "--save_only",
                type=names,
                default=[],
                metavar="LABELS",
                help="write these alone, e.g. fake_B",
            )
        parser.set_defaults(model="test", num_threads=0, serial_batches=True, no_flip=True)

    def finish(self, opt: Namespace) -> None:
        if "load_size" not in self.given() and opt.preprocess != "resize":
            opt.load_size = opt.crop_size
        opt.no_flip = opt.serial_batches = True

    def _inherit(self, opt: Namespace, run: saved_options.Options) -> saved_options.Options:
        """What the nets are built and fed with, and the flags of the run's own plugins."""
        shared = {action.dest for action in self._shared_actions()}
        own = {name: value for name, value in run.items() if name in INHERITED or name not in shared}
        if run.get("preprocess") == "resize":
            own["load_size"] = run["load_size"]  # which is the size that the nets saw
        return own

    def _feeds_as_trained(self, opt: Namespace, run: saved_options.Options) -> bool:
        explicit = "model" in self.parser.explicit()
        model = opt.model if explicit else run.get("model", opt.model)
        folders = opt.plugin_path or run.get("plugin_path", [])
        fed_anew = plugins.find("model", model, folders).test_dataset is not None
        return not fed_anew and not (explicit and model != run.get("model"))

    def _shared_actions(self) -> list:
        parser = Parser(self.prog, [])
        self.initialize(parser)
        return parser._actions


def results_folder(opt: Namespace) -> Path:
    """results/<name>/<phase>_<epoch>[_iter<n>]."""
    iteration = f"_iter{opt.load_iter}" if opt.load_iter else ""
    return Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}{iteration}"
