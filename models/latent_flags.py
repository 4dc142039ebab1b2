"""Flags that the noise-to-image plugins share, and how their words are read."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from util.errors import UserError
from util.imaging.attention_overlay import Point


def add_attention_flags(parser: ArgumentParser, is_train: bool) -> None:
    """Where the nets attend and what of it is shown."""
    parser.add_argument(
        "--attn_res",
        default="auto",
        help="resolutions of the features that attend, e.g. 16,32; none; auto = the model's own",
    )
    if is_train:
        parser.add_argument(
            "--attn_res_D", default=None, help="those of the discriminator; default: as --attn_res"
        )
    parser.add_argument(
        "--attn_points",
        default="0.5,0.5;0.25,0.5",
        help="whose attention is shown: y,x;y,x;... as shares of height and width",
    )


def check_attention(opt: Namespace) -> None:
    """Refuse flags of attention that cannot be read, before anything is built."""
    query_points(opt.attn_points)
    resolutions(opt.attn_res, default=())
    resolutions(vars(opt).get("attn_res_D"), default=(), flag="--attn_res_D")


def resolutions(value: str | None, default: Sequence[int], flag: str = "--attn_res") -> tuple[int, ...]:
    """`16,32` -> (16, 32); none -> (); auto -> `default`.

    Raises:
        UserError: it is none of those.
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
        UserError: it is no such list.
    """
    try:
        points = [(float(y), float(x)) for y, x in (pair.split(",") for pair in value.split(";"))]
    except ValueError:
        points = []
    if not points or not all(0 <= share < 1 for point in points for share in point):
        raise UserError(
            f"--attn_points {value} must be pairs y,x in [0, 1), parted by ;  e.g. 0.5,0.5;0.25,0.5"
        )
    return points
