"""Flags that noise-to-image models share: training steps, sheets, attention and spectral norm."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from models import networks
from util.cli.flag_types import switch, whole
from util.errors import UserError
from util.imaging import sheets
from util.imaging.attention_overlay import Point
from util.imaging.sheets import Sheet
from util.plugins import unknown

TRAINING_SHEETS = ("classes", "interpolate_z", "interpolate_label", "interpolate_both")


def add_attention_flags(parser: ArgumentParser, is_train: bool) -> None:
    """Add the flags for where the nets have attention and which of its maps are shown."""
    parser.add_argument(
        "--attn_res",
        default="auto",
        help="resolutions of the feature maps with self-attention, e.g. 16,32; none; or auto, the model's default",
    )
    if is_train:
        parser.add_argument(
            "--attn_res_D",
            default=None,
            help="the same for the discriminator (default: the value of --attn_res)",
        )
    parser.add_argument(
        "--attn_points",
        default="0.5,0.5;0.25,0.5",
        help="points y,x whose attention maps are shown, separated by semicolons: 0.25,0.5 is a quarter of the height "
        "from the top and halfway across",
    )


def add_step_flags(parser: ArgumentParser) -> None:
    """Add the flags for the order and the inputs of training steps; with all of them on, as in public code."""
    flag: dict[str, Any] = {"type": switch, "nargs": "?", "const": True, "default": False, "metavar": "BOOL"}
    parser.add_argument(
        "--n_critic",
        type=whole(1),
        default=1,
        help="steps of the discriminator for each step of the generator",
    )
    about = "train the generator in the last of each --n_critic steps, not in the first"
    parser.add_argument("--critic_first", help=about, **flag)
    about = "draw new noise for the generator's update, which otherwise has the fakes of the discriminator"
    parser.add_argument("--fresh_fakes", help=about, **flag)
    about = "judge real and fake images in two passes, which needs less memory, instead of as one batch"
    parser.add_argument("--split_D", help=about, **flag)


def sheets_from(opt: Namespace) -> list[Sheet]:
    """The sheets of --show_sheets; the flag exists in training only.

    Raises:
        UserError: there is no such sheet, or the model has too few classes for it.
    """
    chosen = vars(opt).get("show_sheets", [])
    for name in chosen:
        if name not in TRAINING_SHEETS:
            raise UserError(unknown("--show_sheets", name, TRAINING_SHEETS))
    plan = sheets.Plan(opt.z_dim, opt.n_classes)
    return sheets.make(chosen, plan, "--show_sheets") if chosen else []


def add_spectral_flags(parser: ArgumentParser, is_train: bool) -> None:
    """Add the flags for the power iterations of spectral norm."""
    if is_train:
        parser.add_argument(
            "--sn_update",
            choices=("step", "forward"),
            default="step",
            help="when spectral norm makes a power iteration: before each update of a net (step), or in each forward pass "
            "in training (forward), as in public code of SAGAN and BigGAN",
        )
    parser.add_argument(
        "--num_SVs",
        type=whole(0),
        default=0,
        help="number of the largest singular values of each layer with spectral norm that are estimated and logged",
    )


def spectral_arguments(opt: Namespace) -> dict[str, Any]:
    """The arguments of networks.apply_spectral_norm that the flags of add_spectral_flags() describe."""
    return {"per_forward": opt.isTrain and opt.sn_update == "forward", "num_svs": opt.num_SVs}


def check_attention(opt: Namespace) -> None:
    """Raise UserError for flags of attention that cannot be parsed."""
    query_points(opt.attn_points)
    resolutions(opt.attn_res, default=())
    resolutions(vars(opt).get("attn_res_D"), default=(), flag="--attn_res_D")


def refuse_gradient_penalty(opt: Namespace, bound: str, remedy: str) -> None:
    """Raise UserError for a gradient penalty on a discriminator that `bound` limits already."""
    if opt.isTrain and opt.lambda_gp > 0:
        raise UserError(
            f"--lambda_gp {opt.lambda_gp} (10 by default with --gan_mode wgangp) adds a gradient penalty to a "
            f"discriminator that {bound} already bounds: use {remedy}"
        )


def attention_sides(opt: Namespace, net: str) -> tuple[int, ...]:
    """The sides of the features with attention in "G" (--attn_res) or "D" (--attn_res_D, or else --attn_res)."""
    family, value = (opt.netG, opt.attn_res) if net == "G" else (opt.netD, opt.attn_res_D or opt.attn_res)
    return resolutions(value, networks.FAMILIES[family].default_attention(opt.image_side)[net == "D"])


def resolutions(value: str | None, default: Sequence[int], flag: str = "--attn_res") -> tuple[int, ...]:
    """`16,32` -> (16, 32); none -> (); auto -> `default`.

    Raises:
        UserError: `value` has another form.
    """
    if value in ("auto", None):
        return tuple(default)
    words = [] if value == "none" else str(value).split(",")
    if not all(word.isdecimal() for word in words):
        raise UserError(f"{flag} {value} must be auto, none, or resolutions in pixels such as 16,32")
    return tuple(map(int, words))


def query_points(value: str) -> list[Point]:
    """`0.5,0.5;0.25,0.5` -> [(0.5, 0.5), (0.25, 0.5)], (y, x) in [0, 1).

    Raises:
        UserError: `value` is not such a list.
    """
    try:
        points = [(float(y), float(x)) for y, x in (pair.split(",") for pair in value.split(";"))]
    except ValueError:
        points = []
    if not points or not all(0 <= coordinate < 1 for point in points for coordinate in point):
        raise UserError(
            f"--attn_points {value} must be points y,x with 0 <= y, x < 1, such as 0.5,0.5;0.25,0.5"
        )
    return points
