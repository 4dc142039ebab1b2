"""How all sources of options become one namespace, and the order in which they are checked."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from options import checks, early_checks, renamed_flags, saved_options, shared_flags
from options.parser import Parser
from util import log, plugins, trained_with
from util.cli.image_side import image_side
from util.cpu_count import default_num_threads, limit_spinning
from util.errors import UserError
from util.ranks import rank_variables

Rule = Callable[[Namespace], None]


class BaseOptions:
    """Declares the flags, asks the chosen plugins for theirs, reads all sources and checks the result."""

    prog = "train.py"
    is_train = True
    needs_data = True  # whether --dataroot is needed, unless the data set plugin says otherwise
    rules: tuple[Rule, ...] = (checks.sizes, checks.memory, checks.plain_names)
    # the rules that do not depend on plugins, which are imported after them
    early_rules: tuple[Rule, ...] = ()

    def parse(self, argv: Sequence[str] | None = None) -> Namespace:
        """All options of this start, checked.

        Raises:
            UserError: with the flag, its value and what to do.
        """
        rank_variables.check()
        limit_spinning()
        argv = renamed_flags.translate(sys.argv[1:] if argv is None else argv)
        self._answer_questions(argv)
        early_checks.check(
            lambda run, source: self._gather_shared(argv, run, source),
            self.early_rules,
            needs_data=self.needs_data,
        )
        opt = self._gather(argv, {}, strictly=False)
        folder = checks.run_folder(opt)
        run, source = saved_options.read_run(folder), f"the options of {folder}"
        if not self._uses_data_of_run(self._gather_shared(argv, run, source)[0], run):
            run.pop("dataset_mode", None)
        opt = self._gather(argv, run, strictly=True, source=source)
        opt.only_in_training = frozenset() if self.is_train else frozenset(run.keys() - vars(opt).keys())
        self._warn_of_changes(opt)
        opt.image_side = image_side(opt.preprocess, load_size=opt.load_size, crop_size=opt.crop_size)
        # the default depends on this machine, so it is not saved for a resumed run on another one
        self._unsaved = {"num_threads"} if opt.num_threads is None else set()
        if opt.num_threads is None:
            opt.num_threads = default_num_threads(cached=opt.cache != "off" and opt.fast != "off")
        for rule in self.rules:
            rule(opt)
        self._check_plugins(opt)
        return opt

    def save(self, opt: Namespace) -> None:
        """Write the options into the run's folder; only rank 0 writes."""
        if log.is_main():
            folder = Path(opt.checkpoints_dir) / opt.name
            saved_options.save(opt, self.parser, folder, unsaved=self._unsaved)
            if opt.isTrain:
                trained_with.record(self.parser.parts_kept_outside(vars(opt)), opt.checkpoints_dir)

    def describe(self, opt: Namespace) -> str:
        return saved_options.describe(opt, self.parser)

    def initialize(self, parser: Parser) -> None:
        """Add the flags that do not come from plugins."""
        shared_flags.add(parser)

    def finish(self, opt: Namespace) -> None:
        """Fill in the options that are computed from others."""

    def _gather_shared(
        self, argv: Sequence[str], run: saved_options.Options, source: str
    ) -> tuple[Namespace, list[str], Parser]:
        """The shared options from every source, the words that are no shared flags, and the parser."""
        self.parser = parser = Parser(self.prog, argv, is_train=self.is_train)
        self.initialize(parser)
        opt, _ = parser.parse_known_args()
        config = saved_options.read_config(opt.config) if opt.config else {}
        parser.layers = [(source, {}), (f"--config {opt.config}", config)]
        parser.layers[0] = (source, self.inherited(run))
        self._refuse_foreign_code_and_servers(parser)
        opt, unknown = parser.parse_known_args()
        opt.isTrain = self.is_train
        return opt, unknown, parser

    def _refuse_foreign_code_and_servers(self, parser: Parser) -> None:
        """Refuse what the options of a run may not choose for this user; see util.trained_with."""
        source, options = parser.layers[0]
        taken = {name: value for name, value in options.items() if name not in parser.given()}
        for name, part in parser.parts_kept_outside(taken):
            if not trained_with.is_recorded(name, part):
                values = " ".join(f"--{name} {item}" for item in trained_with.items(taken[name]))
                raise UserError(
                    f"{source} contain {values}, with which you have not trained before, and a run folder may come "
                    f"from somebody else: if you trust {part}, repeat {values} on the command line"
                )

    def _gather(
        self, argv: Sequence[str], run: saved_options.Options, strictly: bool, source: str = ""
    ) -> Namespace:
        """The options from every source, those of the chosen plugins included."""
        _, _, parser = self._gather_shared(argv, run, source)
        for kind, flag in plugins.FLAGS.items():
            opt, _ = parser.parse_known_args()
            name = getattr(opt, flag)
            plugin = plugins.find(kind, name, opt.plugin_path)
            with parser.section(f"flags of --{flag} {name}", of_plugin=True):
                plugin.modify_commandline_options(parser, self.is_train)
            parser.layers[0] = (source, self.inherited(run))
        opt, unknown = parser.parse_known_args()
        config_file, config = parser.layers[-1]
        if strictly and (strange := [name for name in config if not parser.has(f"--{name}")]):
            raise UserError(f"{config_file}: {parser.about_unknown(f'--{strange[0]}')}")
        if strictly and unknown:
            raise UserError(parser.about_unknown(unknown[0]))
        opt.isTrain = self.is_train
        if opt.suffix:
            opt.name = checks.with_suffix(opt)
        self.finish(opt)
        return opt

    def inherited(self, run: saved_options.Options) -> saved_options.Options:
        """The options that this start takes over from a run."""
        return {}

    def _uses_data_of_run(self, opt: Namespace, run: saved_options.Options) -> bool:
        """Whether the run's --dataset_mode is the default of this start, whose shared options are `opt`."""
        return True

    def _warn_of_changes(self, opt: Namespace) -> None:
        _, run = self.parser.layers[0]
        for name in sorted(self.parser.explicit() & run.keys()):
            if run[name] is not None and str(getattr(opt, name)) != str(run[name]):
                log.warn(f"--{name} {getattr(opt, name)} overrides the run's own value, {run[name]}")

    def _check_plugins(self, opt: Namespace) -> None:
        """Check the options with the data set and the model."""
        dataset = plugins.find("dataset", opt.dataset_mode, opt.plugin_path)
        if opt.dataroot is None and dataset.needs_dataroot:
            raise checks.no_dataroot(opt)
        checks.count_classes(opt, dataset)
        plugins.find("model", opt.model, opt.plugin_path).check_options(opt)

    def _answer_questions(self, argv: Sequence[str]) -> None:
        """Handle --list_models, --list_datasets and --help, which end the program."""
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
        else:
            self.parser = Parser(self.prog, argv, is_train=self.is_train)
            self.initialize(self.parser)
            self.parser.epilog = self.parser.epilog or (
                f"{self.prog} --list_models and --list_datasets list the models and the data sets; "
                f"{self.prog} --model NAME --help adds the flags of a model."
            )
        self.parser.print_help()


def _values(argv: Sequence[str], flag: str) -> list[str]:
    """The values of a flag on the command line, found without a parser."""
    values = [argv[index + 1] for index, word in enumerate(argv[:-1]) if word == flag]
    return values + [word.split("=", 1)[1] for word in argv if word.startswith(f"{flag}=")]
