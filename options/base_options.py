"""How all sources of options become one namespace, and the order in which mistakes are looked for."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from options import ahead, checks, renamed_flags, saved_options, shared_flags
from options.parser import Parser
from util import log, plugins
from util.cli.image_side import image_side
from util.cpu_count import default_num_threads
from util.errors import UserError

# what a trained net has to be built and fed with, so test.py takes it from the run
INHERITED = set(
    """
    model input_nc output_nc ngf ndf netG netD n_layers_D norm init_type init_gain
    no_dropout dataset_mode direction crop_size preprocess plugin_path
    """.split()
)
# what belongs to one start of a run and not to the run
NOT_RESUMED = set("name suffix checkpoints_dir continue_train config epoch load_iter init_from".split())


class BaseOptions:
    """Adds flags, asks the model and data set plugins for theirs, reads every source, checks."""

    prog = "train.py"
    is_train = True
    # each is run before plugins are loaded, if they cannot change what it reads, and when all is known
    rules: tuple[ahead.Rule, ...] = (
        checks.known_plugins,
        checks.sizes,
        checks.plain_names,
        checks.place_for_a_run,
    )

    def parse(self, argv: Sequence[str] | None = None) -> Namespace:
        """Every option of this start, checked.

        Raises:
            UserError: with the flag, its value and the way out.
        """
        argv = renamed_flags.translate(sys.argv[1:] if argv is None else argv)
        self._answer_questions(argv)
        self._look_ahead(argv)
        first = self._gather(argv, {}, strictly=False)
        folder = checks.run_folder(first)
        run = self._inherit(first, saved_options.read_run(folder))
        if not self._feeds_as_trained(first, run):
            run.pop("dataset_mode", None)
        self._warn_of_changes(first, run)
        opt = self._gather(argv, run, strictly=True, source=_source(folder))
        opt.image_side = image_side(opt.preprocess, load_size=opt.load_size, crop_size=opt.crop_size)
        self._anew = {"num_threads"} if opt.num_threads is None else set()
        if opt.num_threads is None:
            opt.num_threads = default_num_threads(cached=opt.cache != "off" and opt.fast != "off")
        for rule in self.rules:
            rule(opt)
        self._check_plugins(opt)
        return opt

    def save(self, opt: Namespace) -> None:
        """Write the options into the run's folder; rank 0 alone."""
        if log.is_main():
            saved_options.save(opt, self.parser, Path(opt.checkpoints_dir) / opt.name, anew=self._anew)

    def describe(self, opt: Namespace) -> str:
        return saved_options.describe(opt, self.parser)

    # ------------------------------------------------------------------ flags

    def initialize(self, parser: Parser) -> None:
        """Add the flags that every model and data set shares."""
        shared_flags.add(parser)

    # ------------------------------------------------------------------ private

    def _look_ahead(self, argv: Sequence[str]) -> None:
        """Tell the mistakes that can be seen before a plugin is loaded, and torch with it."""
        opt, _ = self._gather_shared(argv, {})
        settled = ahead.settled(opt, self.given())
        if "name" not in settled or "checkpoints_dir" not in settled:
            return  # nor is it known then which run is meant
        folder = checks.run_folder(settled)
        run = self._inherit(opt, saved_options.read_run(folder))
        opt, unknown = self._gather_shared(argv, run, _source(folder))
        if not ahead.strangers(opt):
            source, config = self.parser.layers[-1]
            ahead.check_words(self.parser, unknown, list(config), source)
        self.finish(opt)
        unsure = set() if self.is_train else {"dataset_mode"}  # which a model may not want
        ahead.check(ahead.settled(opt, self.given() | run.keys() - unsure), self.rules)

    def _gather_shared(
        self, argv: Sequence[str], lower: saved_options.Options, source: str = ""
    ) -> tuple[Namespace, list[str]]:
        """The shared flags from every source, and the words that are none of them."""
        self.parser = parser = Parser(self.prog, argv)
        self.initialize(parser)
        opt, _ = parser.parse_known_args()
        config = saved_options.read_config(opt.config) if opt.config else {}
        parser.layers = [(source, lower), (f"--config {opt.config}", config)]
        opt, unknown = parser.parse_known_args()
        opt.isTrain = self.is_train
        return opt, unknown

    def _gather(
        self, argv: Sequence[str], lower: saved_options.Options, strictly: bool, source: str = ""
    ) -> Namespace:
        opt, _ = self._gather_shared(argv, lower, source)
        parser = self.parser
        with parser.section(f"flags of --model {opt.model}"):
            plugins.find("model", opt.model, opt.plugin_path).modify_commandline_options(
                parser, self.is_train
            )
        opt, _ = parser.parse_known_args()
        with parser.section(f"flags of --dataset_mode {opt.dataset_mode}"):
            plugins.find("dataset", opt.dataset_mode, opt.plugin_path).modify_commandline_options(
                parser, self.is_train
            )
        source, config = parser.layers[-1]
        for name in config:
            if strictly and f"--{name}" not in parser._option_string_actions:
                raise UserError(f"{source}: {parser.about_unknown(f'--{name}')}")
        opt = parser.parse_strictly() if strictly else parser.parse_known_args()[0]
        opt.isTrain = self.is_train
        if opt.suffix:
            opt.name = checks.with_suffix(opt)
        self.finish(opt)
        return opt

    def given(self) -> set[str]:
        """The names of the options that a person has said, on the command line or in a file."""
        return self.parser.explicit() | self.parser.layers[-1][1].keys()

    def finish(self, opt: Namespace) -> None:
        """Fill in what follows from other options."""

    def _inherit(self, opt: Namespace, run: saved_options.Options) -> saved_options.Options:
        """The part of a run's options that this start takes over."""
        return {}

    def _feeds_as_trained(self, opt: Namespace, run: saved_options.Options) -> bool:
        """Whether the data set is of the run's own kind, if not said otherwise."""
        return True

    def _warn_of_changes(self, opt: Namespace, run: saved_options.Options) -> None:
        for name in sorted(self.parser.explicit() & run.keys()):
            if run[name] is not None and str(getattr(opt, name)) != str(run[name]):
                log.warn(f"--{name} {getattr(opt, name)} overrides the run's own {run[name]}")

    def _check_plugins(self, opt: Namespace) -> None:
        """What the data and the model have to say."""
        dataset = plugins.find("dataset", opt.dataset_mode, opt.plugin_path)
        if opt.dataroot is None and dataset.needs_dataroot:
            raise checks.no_dataroot(opt)
        checks.count_classes(opt, dataset)
        plugins.find("model", opt.model, opt.plugin_path).check_options(opt)

    def _answer_questions(self, argv: Sequence[str]) -> None:
        """--list_models, --list_datasets and --help end the program here."""
        folders = _values(argv, "--plugin_path")
        for flag, kind in (("--list_models", "model"), ("--list_datasets", "dataset")):
            if flag in argv:
                for name, line in plugins.available(kind, folders).items():
                    print(f"{name:<20} {line}")
                sys.exit(0)
        if "--help" in argv or "-h" in argv:
            self._help([word for word in argv if word not in ("--help", "-h")])
            sys.exit(0)

    def _help(self, argv: Sequence[str]) -> None:
        if _values(argv, "--model") or _values(argv, "--dataset_mode"):
            self._gather(argv, {}, strictly=False)
            self.parser.print_help()
            return
        parser = Parser(self.prog, argv)
        self.initialize(parser)
        parser.print_help()
        print(f"\nA model's own flags: {self.prog} --model NAME --help. Models: {self.prog} --list_models;")
        print(f"data sets: {self.prog} --list_datasets.")


def _values(argv: Sequence[str], flag: str) -> list[str]:
    """What stands behind a flag, without a parser."""
    found = [argv[index + 1] for index, word in enumerate(argv[:-1]) if word == flag]
    return found + [word.split("=", 1)[1] for word in argv if word.startswith(f"{flag}=")]


def _source(folder: Path) -> str:
    return f"the options of {folder}"
