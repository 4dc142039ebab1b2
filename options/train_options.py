"""The flags of train.py."""

from argparse import Namespace

from options import checks, saved_options
from options.base_options import NOT_RESUMED, BaseOptions
from options.checks import AUGMENTATIONS
from options.parser import Parser, names, number, whole
from util.visualizer import check_names, check_packages

GAN_MODES = ("vanilla", "lsgan", "hinge", "wgangp")
DISPLAYS = ("console", "loss_log", "jsonl", "html", "visdom")
LR_POLICIES = ("linear", "step", "plateau", "cosine", "constant")

# what finish() fills in from other options: where one of those is given anew, it is not taken from the run
FOLLOWS = {
    "lr_G": {"lr"},
    "lr_D": {"lr"},
    "lambda_gp": {"gan_mode"},
    "display": {"display_id", "no_html", "use_wandb"},
}


class TrainOptions(BaseOptions):
    rules = (
        checks.something_to_go_on_with,
        checks.parts_of_a_batch,
        checks.epochs,
        checks.one_bound,
        checks.augmentations,
        lambda opt: check_names(shown(opt)),
        *BaseOptions.rules,
        checks.data_of_ours,
        lambda opt: check_packages(shown(opt)),
    )

    def initialize(self, parser: Parser) -> None:
        super().initialize(parser)
        _pace_flags(parser)
        _game_flags(parser)
        _saving_flags(parser)
        _display_flags(parser)

    def finish(self, opt: Namespace) -> None:
        given = self.given()
        for name in ("lr_G", "lr_D"):
            # what a person says of --lr counts more than what a model has made of them
            if getattr(opt, name) is None or ("lr" in given and name not in given):
                setattr(opt, name, opt.lr)
        if opt.lambda_gp is None:
            opt.lambda_gp = 10.0 if opt.gan_mode == "wgangp" else 0.0
        opt.display = shown(opt)

    def _inherit(self, opt: Namespace, run: saved_options.Options) -> saved_options.Options:
        if not opt.continue_train:
            return {}
        given = self.parser.explicit()
        follow = {name for name, leaders in FOLLOWS.items() if given & leaders and name not in given}
        out = NOT_RESUMED | follow
        return {name: value for name, value in run.items() if name not in out}


def shown(opt: Namespace) -> list[str]:
    """The names of the displays: those of --display or the usual ones, as far as no other flag turns them off."""
    off = ({"visdom"} if opt.display_id <= 0 else set()) | ({"html"} if opt.no_html else set())
    asked = DISPLAYS if opt.display is None else opt.display
    on = [name for name in asked if name not in off]
    return on + ["wandb"] * (opt.use_wandb and "wandb" not in on)


def _pace_flags(parser: Parser) -> None:
    with parser.section("how long, how fast"):
        parser.add_argument(
            "--n_epochs", type=whole(0), default=100, help="epochs at the first learning rate"
        )
        parser.add_argument("--n_epochs_decay", type=whole(0), default=100, help="epochs in which it falls")
        parser.add_argument("--epoch_count", type=whole(1), default=1, help="number of the first epoch")
        parser.add_argument("--lr", type=number(above=0), default=0.0002, help="first learning rate of Adam")
        parser.add_argument(
            "--lr_G", type=number(above=0), default=None, help="of the generators, instead of --lr"
        )
        parser.add_argument(
            "--lr_D", type=number(above=0), default=None, help="of the discriminators, instead of --lr"
        )
        parser.add_argument("--beta1", type=number(least=0, below=1), default=0.5, help="Adam's momentum")
        parser.add_argument(
            "--beta2", type=number(least=0, below=1), default=0.999, help="Adam's second moment"
        )
        parser.add_argument("--lr_policy", choices=LR_POLICIES, default="linear", help="how the rate falls")
        parser.add_argument(
            "--lr_decay_iters", type=whole(1), default=50, help="epochs between steps of --lr_policy step"
        )
        parser.add_argument(
            "--accumulate",
            type=whole(1),
            default=1,
            help="cut each batch into so many parts to save memory",
        )
        parser.add_argument(
            "--clip_grad", type=number(least=0), default=0.0, help="largest norm of a gradient; 0 = any"
        )
        parser.add_argument(
            "--ema_decay",
            type=number(least=0, below=1),
            default=0.0,
            help="average the generators' weights, e.g. 0.999; 0 = off",
        )


def _game_flags(parser: Parser) -> None:
    with parser.section("adversarial game"):
        parser.add_argument("--gan_mode", choices=GAN_MODES, default="lsgan", help="adversarial objective")
        parser.add_argument(
            "--lambda_gp",
            type=number(least=0),
            default=None,
            help="weight of the gradient penalty; default: 10 with --gan_mode wgangp, else 0",
        )
        parser.add_argument(
            "--r1_gamma", type=number(least=0), default=0.0, help="weight of the R1 penalty, e.g. 1; 0 = off"
        )
        parser.add_argument("--r1_every", type=whole(1), default=16, help="steps between R1 penalties")
        parser.add_argument(
            "--ortho_G",
            type=number(least=0),
            default=0.0,
            help="orthogonal regularisation of the generators, e.g. 1e-4",
        )
        parser.add_argument("--ortho_D", type=number(least=0), default=0.0, help="and of the discriminators")
        parser.add_argument(
            "--diffaug",
            type=names,
            nargs="?",
            const=list(AUGMENTATIONS),
            default=[],
            metavar="KINDS",
            help=f"augment what the discriminators see, for little data: {','.join(AUGMENTATIONS)}, or no word for all",
        )
        parser.add_argument(
            "--pool_size", type=whole(0), default=50, help="generated images kept for the discriminator"
        )


def _saving_flags(parser: Parser) -> None:
    with parser.section("saving and resuming"):
        parser.add_argument("--save_latest_freq", type=whole(1), default=5000, help="images between saves")
        parser.add_argument(
            "--save_epoch_freq", type=whole(1), default=5, help="epochs between saves that are kept"
        )
        parser.flag("--save_by_iter", "keep every save, as iter_<n>")
        parser.flag("--continue_train", "go on where the run of this name stopped, with its options")
        parser.add_argument(
            "--init_from",
            default=None,
            metavar="FOLDER",
            help="start from the weights in a run's folder, by shared keys",
        )
        parser.add_argument("--phase", default="train", help="which part of the data set")


def _display_flags(parser: Parser) -> None:
    with parser.section("what to show"):
        parser.add_argument(
            "--display",
            type=names,
            default=None,
            metavar="NAMES",
            help="console,loss_log,jsonl,html,visdom,tensorboard,wandb; default: the first five",
        )
        parser.add_argument("--print_freq", type=whole(1), default=100, help="images between lines of losses")
        parser.add_argument("--display_freq", type=whole(1), default=400, help="images between pictures")
        parser.add_argument(
            "--update_html_freq", type=whole(1), default=1000, help="images between updates of the page"
        )
        parser.flag("--no_html", "write no page")
        parser.add_argument(
            "--display_id", type=int, default=1, help="visdom's window; 0 or less turns visdom off"
        )
        parser.add_argument(
            "--display_ncols",
            type=int,
            default=4,
            help="pictures in a row in visdom; 0 or less: a window each",
        )
        parser.add_argument("--display_server", default="http://localhost", help="visdom's server")
        parser.add_argument("--display_port", type=whole(1, 65535), default=8097, help="visdom's port")
        parser.add_argument("--display_env", default="main", help="visdom's environment")
