"""The flags of train.py."""

from argparse import Namespace

from options import checks, saved_options
from options.base_options import BaseOptions
from options.checks import AUGMENTATIONS
from options.parser import Parser, names, number, whole
from util.visualizer import check_names, check_packages

GAN_MODES = ("vanilla", "lsgan", "hinge", "wgangp")
DISPLAYS = ("console", "loss_log", "jsonl", "html", "visdom")
LR_POLICIES = ("linear", "step", "plateau", "cosine", "constant")


class TrainOptions(BaseOptions):
    rules = (
        checks.saved_weights,
        checks.accumulation,
        checks.epochs,
        checks.one_lipschitz_bound,
        checks.augmentations,
        lambda opt: check_names(displays(opt)),
        *BaseOptions.rules,
        lambda opt: check_packages(displays(opt)),
    )
    early_rules = (checks.saved_weights,)

    def initialize(self, parser: Parser) -> None:
        super().initialize(parser)
        _schedule_flags(parser)
        _loss_flags(parser)
        _saving_flags(parser)
        _display_flags(parser)

    def finish(self, opt: Namespace) -> None:
        given = self.parser.given()
        for name in ("lr_G", "lr_D"):
            # the user's --lr has priority over the defaults of a model
            if getattr(opt, name) is None or ("lr" in given and name not in given):
                setattr(opt, name, opt.lr)
        if opt.lambda_gp is None:
            opt.lambda_gp = 10.0 if opt.gan_mode == "wgangp" else 0.0
        opt.display = displays(opt)

    def inherited(self, run: saved_options.Options) -> saved_options.Options:
        """With --continue_train all options of the run, except those of one start or computed from changed ones."""
        if not self.parser.parse_known_args()[0].continue_train:
            return {}
        given = self.parser.given()

        def is_taken(name: str) -> bool:
            its = self.parser.attributes(name)
            return not its.fresh_start and not (given & set(its.follows) and name not in given)

        return {name: value for name, value in run.items() if is_taken(name)}


def displays(opt: Namespace) -> list[str]:
    """The names of the displays: those of --display or the default ones, without those that a flag turns off."""
    off = ({"visdom"} if opt.display_id <= 0 else set()) | ({"html"} if opt.no_html else set())
    on = [name for name in (DISPLAYS if opt.display is None else opt.display) if name not in off]
    return on + ["wandb"] * (opt.use_wandb and "wandb" not in on)


def _schedule_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("schedule and optimizer"):
        add("--n_epochs", type=whole(0), default=100, help="number of epochs with the initial learning rate")
        add(
            "--n_epochs_decay",
            type=whole(0),
            default=100,
            help="number of further epochs, in which --lr_policy linear lowers the learning rate to 0",
        )
        add("--epoch_count", type=whole(1), default=1, help="number of the first epoch")
        add("--lr", type=number(above=0), default=0.0002, help="initial learning rate of Adam")
        for name, nets in (("--lr_G", "generators"), ("--lr_D", "discriminators")):
            add(
                name,
                type=number(above=0),
                follows=("lr",),
                help=f"initial learning rate of the {nets} (default: that of the model, or --lr)",
            )
        add(
            "--beta1",
            type=number(least=0, below=1),
            default=0.5,
            help="Adam's decay rate of the first moment",
        )
        add(
            "--beta2",
            type=number(least=0, below=1),
            default=0.999,
            help="Adam's decay rate of the second moment",
        )
        add("--lr_policy", choices=LR_POLICIES, default="linear", help="schedule of the learning rate")
        add(
            "--lr_decay_iters",
            type=whole(1),
            default=50,
            help="number of epochs between reductions of the learning rate with --lr_policy step",
        )
        add(
            "--accumulate",
            type=whole(1),
            default=1,
            help="number of parts that each batch is split into to save memory; their gradients are added up",
        )
        add(
            "--clip_grad",
            type=number(least=0),
            default=0.0,
            help="largest norm of a network's gradient; 0 means no limit",
        )
        add(
            "--ema_decay",
            type=number(least=0, below=1),
            default=0.0,
            help="decay of the moving average of the generators' weights, e.g. 0.999; 0 turns it off",
        )


def _loss_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("losses"):
        add("--gan_mode", choices=GAN_MODES, default="lsgan", help="adversarial loss")
        add(
            "--lambda_gp",
            type=number(least=0),
            follows=("gan_mode",),
            help="weight of the gradient penalty (default: 10 with --gan_mode wgangp, otherwise 0)",
        )
        add(
            "--r1_gamma",
            type=number(least=0),
            default=0.0,
            help="weight of the R1 penalty, e.g. 1; 0 turns it off",
        )
        add("--r1_every", type=whole(1), default=16, help="number of steps between R1 penalties")
        for name, nets in (("--ortho_G", "generators"), ("--ortho_D", "discriminators")):
            add(
                name,
                type=number(least=0),
                default=0.0,
                help=f"weight of the orthogonal regularisation of the {nets}, e.g. 1e-4; 0 turns it off",
            )
        add(
            "--diffaug",
            type=names,
            nargs="?",
            const=list(AUGMENTATIONS),
            default=[],
            metavar="KINDS",
            help="differentiable augmentation of the discriminators' input, for small data sets: "
            f"{','.join(AUGMENTATIONS)}, or without a value all of them",
        )
        add(
            "--pool_size",
            type=whole(0),
            default=50,
            help="number of earlier generated images that the discriminator sees",
        )


def _saving_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("saving and resuming"):
        add(
            "--save_latest_freq",
            type=whole(1),
            default=5000,
            help="number of images between saves of the latest state",
        )
        add(
            "--save_epoch_freq", type=whole(1), default=5, help="number of epochs between saves that are kept"
        )
        parser.flag("--save_by_iter", "keep every save of --save_latest_freq, as iter_<number of images>")
        parser.flag("--continue_train", "resume the run called --name, with its options", fresh_start=True)
        add(
            "--init_from",
            metavar="FOLDER",
            fresh_start=True,
            help="folder of a run whose weights are loaded at the start, as far as their names agree",
        )
        add("--phase", default="train", changes_pixels=True, help="part of the data set to read, e.g. train")


def _display_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("display in training"):
        add(
            "--display",
            type=names,
            metavar="NAMES",
            follows=("display_id", "no_html", "use_wandb"),
            help="console, loss_log, jsonl, html, visdom, tensorboard, wandb, separated by commas "
            "(default: the first five)",
        )
        add("--print_freq", type=whole(1), default=100, help="number of images between reports of the losses")
        add("--display_freq", type=whole(1), default=400, help="number of images between displays of images")
        add(
            "--update_html_freq",
            type=whole(1),
            default=1000,
            help="number of images between updates of the page",
        )
        parser.flag("--no_html", "do not write a page")
        add("--display_id", type=int, default=1, help="window of visdom; 0 or less turns visdom off")
        add(
            "--display_ncols",
            type=int,
            default=4,
            help="number of images in a row in visdom; 0 or less: a window for each image",
        )
        add("--display_server", default="http://localhost", help="address of the visdom server")
        add("--display_port", type=whole(1, 65535), default=8097, help="port of the visdom server")
        add("--display_env", default="main", help="visdom environment")
