"""The namespace that holds the options of a start."""

from argparse import Namespace
from typing import Any

from util.errors import UserError


class MissingOption(UserError, AttributeError):
    """An option of the training run that testing does not have; hasattr() and getattr() see an AttributeError."""


class Options(Namespace):
    """A Namespace that also names the options that decide the pixels of prepared images.

    `pixel_options` and `only_in_training` are no options themselves: `vars()` leaves them out, so files of
    options do not hold them.
    """

    __slots__ = ("only_in_training", "pixel_options")
    only_in_training: frozenset[str]  # the options of the run that testing does not have
    pixel_options: tuple[str, ...]

    def __getattr__(self, name: str) -> Any:  # called for missing attributes only
        if name not in Options.__slots__ and name in getattr(self, "only_in_training", ()):
            raise MissingOption(
                f"--{name} is not defined in testing: add it outside `if is_train:` in modify_commandline_options"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
