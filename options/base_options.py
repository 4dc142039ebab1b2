"""The flags of training and testing alike, and how all sources of options become one namespace."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from options import checks, files, legacy
from options.parser import Parser, count_or_all, number, whole
from util import log, plugins
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

    def parse(self, argv: Sequence[str] | None = None) -> Namespace:
        """Every option of this start, checked.

        Raises:
            UserError: with the flag, its value and the way out.
        """
        argv = legacy.translate(sys.argv[1:] if argv is None else argv)
        self._answer_questions(argv)
        first = self._gather(argv, {}, strictly=False)
        folder = checks.run_folder(first)
        run = self._inherit(first, files.read_run(folder))
        opt = self._gather(argv, run, strictly=True, source=f"the options of {folder}")
        opt.image_side = checks.image_side(opt)
        self._check_model(opt)
        return opt

    def save(self, opt: Namespace) -> None:
        """Write the options into the run's folder; rank 0 alone."""
        if log.is_main():
            files.save(opt, self.parser, Path(opt.checkpoints_dir) / opt.name)

    def describe(self, opt: Namespace) -> str:
        return files.describe(opt, self.parser)

    # ------------------------------------------------------------------ flags

    def initialize(self, parser: Parser) -> None:
        """Add the flags that every model and data set shares."""
        _run_flags(parser)
        _plugin_flags(parser)
        _data_flags(parser)
        _network_flags(parser)
        _weight_flags(parser)
        _showing_flags(parser)

    # ------------------------------------------------------------------ private

    def _gather(
        self, argv: Sequence[str], lower: files.Options, strictly: bool, source: str = ""
    ) -> Namespace:
        self.parser = parser = Parser(self.prog, argv)
        self.initialize(parser)
        opt, _ = parser.parse_known_args()
        config = files.read_config(opt.config) if opt.config else {}
        parser.layers = [(source, lower), (f"--config {opt.config}", config)]
        opt, _ = parser.parse_known_args()
        with parser.section(f"flags of --model {opt.model}"):
            plugins.find("model", opt.model, opt.plugin_path).modify_commandline_options(
                parser, self.is_train
            )
        opt, _ = parser.parse_known_args()
        with parser.section(f"flags of --dataset_mode {opt.dataset_mode}"):
            plugins.find("dataset", opt.dataset_mode, opt.plugin_path).modify_commandline_options(
                parser, self.is_train
            )
        for name in config:
            if strictly and f"--{name}" not in parser._option_string_actions:
                raise UserError(f"--config {opt.config}: " + parser._about_unknown(f"--{name}"))
        opt = parser.parse_strictly() if strictly else parser.parse_known_args()[0]
        opt.isTrain = self.is_train
        if opt.suffix:
            opt.name = checks.with_suffix(opt)
        self.finish(opt)
        return opt

    def finish(self, opt: Namespace) -> None:
        """Fill in what follows from other options."""

    def _inherit(self, opt: Namespace, run: files.Options) -> files.Options:
        """The part of a run's options that this start takes over."""
        return {}

    def _warn_of_changes(self, opt: Namespace, run: files.Options) -> None:
        for name in sorted(self.parser.explicit() & run.keys()):
            if str(getattr(opt, name)) != str(run[name]):
                log.warn(f"--{name} {getattr(opt, name)} overrides the run's own {run[name]}")

    def _check_model(self, opt: Namespace) -> None:
        dataset = plugins.find("dataset", opt.dataset_mode, opt.plugin_path)
        checks.check(opt, dataset)
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


def _run_flags(parser: Parser) -> None:
    with parser.section("run"):
        parser.add_argument("--name", default="experiment_name", help="name of the run, and of its folder")
        parser.add_argument("--checkpoints_dir", default="./checkpoints", help="where runs are kept")
        parser.add_argument("--suffix", default="", help="added to the name, e.g. {netG}_size{load_size}")
        parser.add_argument(
            "--config", default=None, metavar="FILE", help="YAML file of options, below the command line"
        )
        parser.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="of every random number")
        parser.add_argument(
            "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute"
        )
        parser.add_argument(
            "--gpu_ids",
            type=checks.gpu_ids,
            default="0",
            help="the GPU to use, -1 = CPU; for several use torchrun",
        )
        parser.add_argument("--amp", choices=("none", "bf16", "fp16"), default="none", help="mixed precision")
        parser.add_argument(
            "--fast",
            choices=("auto", "off"),
            default="auto",
            help="compute the same numbers by faster means where this machine has them; off = torch's plain ones",
        )
        parser.flag("--compile", "compile the nets: slow to start, then faster")
        parser.flag("--verbose", "print the nets")


def _plugin_flags(parser: Parser) -> None:
    with parser.section("plugins"):
        parser.add_argument("--model", default="cycle_gan", help="which model; see --list_models")
        parser.add_argument(
            "--dataset_mode", default="unaligned", help="which kind of data set; see --list_datasets"
        )
        parser.add_argument(
            "--plugin_path",
            action="append",
            default=[],
            metavar="FOLDER",
            help="where else to look for plugins",
        )


def _data_flags(parser: Parser) -> None:
    with parser.section("data"):
        parser.add_argument(
            "--dataroot",
            default=None,
            help="folder of images: trainA, trainB, testA, testB or as the data set says",
        )
        parser.add_argument(
            "--direction", choices=("AtoB", "BtoA"), default="AtoB", help="which domain is the source"
        )
        parser.flag("--serial_batches", "take images in order, not shuffled")
        parser.add_argument(
            "--num_threads",
            type=whole(0),
            default=None,
            help="processes that load images; default: chosen by the cores of the machine, 0 in testing",
        )
        parser.add_argument(
            "--cache",
            choices=("auto", "disk", "off"),
            default="auto",
            help="keep prepared images: in a quarter of the free memory, in a file that stays, or not",
        )
        parser.add_argument("--batch_size", type=whole(1), default=1, help="images a step, in each process")
        parser.add_argument("--load_size", type=whole(1), default=286, help="scale images to this size")
        parser.add_argument("--crop_size", type=whole(1), default=256, help="then crop to this size")
        parser.add_argument(
            "--max_dataset_size",
            type=count_or_all,
            default=float("inf"),
            help="at most so many images a folder",
        )
        parser.add_argument(
            "--preprocess",
            choices=checks.PREPROCESS,
            default="resize_and_crop",
            help="how images get their size",
        )
        parser.flag("--no_flip", "do not mirror images at random")
        parser.flag("--check_data", "open every image before training starts")


def _network_flags(parser: Parser) -> None:
    with parser.section("networks"):
        parser.add_argument(
            "--input_nc", type=whole(1), default=3, help="channels of the input: 3 colour, 1 grey"
        )
        parser.add_argument("--output_nc", type=whole(1), default=3, help="channels of the output")
        parser.add_argument("--ngf", type=whole(1), default=64, help="filters in the generator's last layer")
        parser.add_argument(
            "--ndf", type=whole(1), default=64, help="filters in the discriminator's first layer"
        )
        parser.add_argument(
            "--netG", default="resnet_9blocks", help="resnet_9blocks, resnet_6blocks, unet_256, unet_128"
        )
        parser.add_argument("--netD", default="basic", help="basic (70 x 70 PatchGAN), n_layers, pixel")
        parser.add_argument("--n_layers_D", type=whole(1), default=3, help="with --netD n_layers")
        parser.add_argument("--norm", default="instance", help="instance, batch, syncbatch, none")
        parser.add_argument(
            "--init_type", default="normal", help="normal, xavier, kaiming, orthogonal, default (torch's)"
        )
        parser.add_argument(
            "--init_gain", type=number(above=0), default=0.02, help="scale of the initial weights"
        )
        parser.flag("--no_dropout", "no dropout in the generator")


def _weight_flags(parser: Parser) -> None:
    with parser.section("which weights"):
        parser.add_argument(
            "--epoch", default="latest", help="which weights to load: latest or an epoch's number"
        )
        parser.add_argument("--load_iter", type=whole(0), default=0, help="load iter_<n> instead, if > 0")


def _showing_flags(parser: Parser) -> None:
    with parser.section("showing"):
        parser.add_argument(
            "--display_winsize",
            type=whole(16),
            default=256,
            help="width of an image on pages and in visdom",
        )
        parser.flag("--use_wandb", "show the run on Weights & Biases, too")
        parser.add_argument("--wandb_project_name", default="CycleGAN-and-pix2pix", help="its project there")
