"""The flags of train.py."""

from argparse import Namespace

from options import checks, saved_options
from options.base_options import BaseOptions
from options.checks import AUGMENTATIONS
from options.parser import Parser, names, number, whole
from util import trained_with
from util.cli.flag_types import path
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
        checks.place_for_a_run,
        checks.links_stay_inside,
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
        if opt.continue_train and opt.epoch.isdecimal() and not {"epoch_count", "load_iter"} & given:
            opt.epoch_count = int(opt.epoch) + 1
        opt.display = displays(opt)

    def inherited(self, run: saved_options.Options) -> saved_options.Options:
        """With --continue_train, the options of the run, unless they are for one start or follow from a given one."""
        if not self.parser.parse_known_args()[0].continue_train:
            return {}
        _, config = self.parser.layers[-1]
        repeated = {name for name, value in config.items() if str(value) == str(run.get(name))}
        changed = self.parser.given() - (repeated - self.parser.explicit())

        def is_taken(name: str) -> bool:
            its = self.parser.attributes(name)
            return not its.fresh_start and not (changed & set(its.follows) and name not in changed)

        return {name: value for name, value in run.items() if is_taken(name)}


def displays(opt: Namespace) -> list[str]:
    """The displays of --display, or the default ones with those after a +, without those that another flag turns off."""
    off = ({"visdom"} if opt.display_id <= 0 else set()) | ({"html"} if opt.no_html else set())
    given = DISPLAYS if opt.display is None else opt.display
    added = [name[1:] for name in given if name.startswith("+")]
    chosen = [name for name in given if not name.startswith("+")] or DISPLAYS
    on = [name for name in dict.fromkeys([*chosen, *added]) if name not in off]
    return on + ["wandb"] * (opt.use_wandb and "wandb" not in on)


def _sent_elsewhere(names_of_displays: object) -> list[str]:
    """Those of the displays that send losses and images to another machine."""
    return [name for name in trained_with.items(names_of_displays) if "wandb" in name]


def _schedule_flags(parser: Parser) -> None:
    add = parser.option
    with parser.section("schedule and optimizer"):
        add("--n_epochs", whole(0), 100, "number of epochs with the initial learning rate")
        about = "number of epochs after those of --n_epochs, in which --lr_policy linear lowers the learning rate to 0"
        add("--n_epochs_decay", whole(0), 100, about)
        about = (
            "number of the first epoch, e.g. 51 after 50 earlier epochs (default: 1, or N + 1 with --epoch N)"
        )
        add("--epoch_count", whole(1), 1, about, fresh_start=True)
        add("--lr", number(above=0), 0.0002, "initial learning rate of Adam")
        for name, nets in (("--lr_G", "generators"), ("--lr_D", "discriminators")):
            about = f"initial learning rate of the {nets} (default: the model's default, or --lr)"
            add(name, number(above=0), None, about, follows=("lr",))
        add("--beta1", number(least=0, below=1), 0.5, "decay rate of Adam's first moment")
        add("--beta2", number(least=0, below=1), 0.999, "decay rate of Adam's second moment")
        add("--lr_policy", LR_POLICIES, "linear", "schedule of the learning rate")
        about = "number of epochs between reductions of the learning rate with --lr_policy step"
        add("--lr_decay_iters", whole(1), 50, about)
        about = "split each batch into N parts and add up their gradients, which saves memory"
        add("--accumulate", whole(1), 1, about)
        for name, nets in (("--accumulate_G", "generators"), ("--accumulate_D", "discriminators")):
            about = f"number of parts of a batch for the {nets} alone (default: the value of --accumulate)"
            add(name, whole(1), None, about)
        add("--clip_grad", number(least=0), 0.0, "maximum norm of each network's gradient; 0 means no limit")
        about = "decay of the generators' exponential moving average, e.g. 0.999; 0 turns it off"
        add("--ema_decay", number(least=0, below=1), 0.0, about)
        about = "step of the generators at which averaging starts; until then the average is a copy of the weights"
        add("--ema_start", whole(0), 0, about)


def _loss_flags(parser: Parser) -> None:
    add = parser.option
    with parser.section("losses"):
        add("--gan_mode", GAN_MODES, "lsgan", "adversarial loss")
        about = "weight of the gradient penalty (default: 10 with --gan_mode wgangp, otherwise 0)"
        add("--lambda_gp", number(least=0), None, about, follows=("gan_mode",))
        add("--r1_gamma", number(least=0), 0.0, "weight of the R1 penalty, e.g. 1; 0 turns it off")
        add("--r1_every", whole(1), 16, "number of steps between R1 penalties")
        for name, nets in (("--ortho_G", "generators"), ("--ortho_D", "discriminators")):
            about = f"weight of orthogonal regularisation of the {nets}, e.g. 1e-4; 0 turns it off"
            add(name, number(least=0), 0.0, about)
        kinds = list(AUGMENTATIONS)
        about = (
            "differentiable augmentation of the discriminators' input, for small data sets; without a value, all of "
            f"{','.join(kinds)}"
        )
        add("--diffaug", names, [], about, nargs="?", const=kinds, metavar="KINDS")
        about = "number of earlier generated images to keep and show to the discriminator again"
        add("--pool_size", whole(0), 50, about)


def _saving_flags(parser: Parser) -> None:
    add = parser.option
    with parser.section("saving and resuming"):
        add("--save_latest_freq", whole(1), 5000, "number of images between saves of the latest weights")
        add("--save_epoch_freq", whole(1), 5, "number of epochs between saves that later ones do not replace")
        parser.flag("--save_by_iter", "keep all saves of --save_latest_freq, as iter_<number of images>")
        about = "also save the whole state with each numbered save, so that --epoch N resumes exactly there"
        parser.flag("--save_states", about)
        about = "number of numbered saves to keep; older ones are removed after each save (default: all)"
        add("--keep_last", whole(0), 0, about)
        parser.flag("--continue_train", "resume the run --name, with its options", fresh_start=True)
        about = "folder of a run to load initial weights from; parameters without a match there keep their initial values"
        add("--init_from", path, None, about, metavar="FOLDER", fresh_start=True)
        add("--phase", str, "train", "part of the data set to use, e.g. train", changes_pixels=True)


def _display_flags(parser: Parser) -> None:
    add = parser.option
    with parser.section("display in training"):
        about = (
            f"where to show losses and images, instead of the defaults: any of {', '.join(DISPLAYS)}, tensorboard, "
            f"wandb, separated by commas; +tensorboard adds one to the defaults (default: {','.join(DISPLAYS)})"
        )
        follows = ("display_id", "no_html", "use_wandb")
        settings = {"metavar": "NAMES", "follows": follows, "kept_outside": _sent_elsewhere}
        add("--display", names, None, about, **settings)
        add("--print_freq", whole(1), 100, "number of training images between reports of the losses")
        add("--display_freq", whole(1), 400, "number of training images between displays of results")
        add("--update_html_freq", whole(1), 1000, "number of training images between writes of the HTML page")
        about = (
            "number of inputs, of the test set if there is one, whose images are shown through the whole run beside "
            "those of the current batch; 0 turns them off"
        )
        add("--fixed_images", whole(0, 64), 2, about)
        parser.flag("--no_html", "do not write the HTML page")
        add("--display_id", int, 1, "0 or less turns visdom off")
        add("--display_ncols", int, 4, "images per row in visdom; 0 or less gives each image its own window")
        about, as_text = "address of the visdom server", trained_with.as_text
        add("--display_server", str, "http://localhost", about, kept_outside=as_text)
        add("--display_port", whole(1, 65535), 8097, "port of the visdom server", kept_outside=as_text)
        add("--display_env", str, "main", "visdom environment", kept_outside=as_text)
