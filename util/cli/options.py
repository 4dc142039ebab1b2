"""The namespace that holds the options of a start."""

from argparse import Namespace


class Options(Namespace):
    """A Namespace that also names the options that decide the pixels of prepared images.

    `pixel_options` is no option itself: `vars()` leaves it out, so files of options do not hold it.
    """

    __slots__ = ("pixel_options",)
    pixel_options: tuple[str, ...]
