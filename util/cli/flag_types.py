"""Types of flags: each converts a word to a value or raises an error that says what is wrong with it."""

import argparse
import math
import os
import re
from collections.abc import Callable

LARGEST_INT = 2**31 - 1
LARGEST_FLOAT = 1e36  # a float32 holds it
LONGEST_PART = 255  # bytes of a file's name in the usual file systems
LONGEST_PATH = 3000  # characters; Linux allows 4,095 bytes, and names of files are added

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def switch(word: str) -> bool:
    if word.lower() in TRUE:
        return True
    if word.lower() in FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{word} is neither true nor false")


def whole(least: int = -LARGEST_INT, most: int = LARGEST_INT) -> Callable[[str], int]:
    """A type for whole numbers from `least` to `most`."""

    def convert(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word} is not a whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{word} must be a whole number from {least} to {most}")
        return value

    return convert


def number(
    least: float = -LARGEST_FLOAT,
    below: float = math.inf,
    above: float = -math.inf,
    most: float = LARGEST_FLOAT,
) -> Callable[[str], float]:
    """A type for finite numbers with least <= x <= most, x < below and x > above."""

    def convert(word: str) -> float:
        value = _float(word)
        if not (least <= value <= most and above < value < below):
            bounds = {"more than": above, "less than": below}
            bounds |= {"at least": least} if above == -math.inf else {}
            bounds |= {"at most": most} if below == math.inf else {}
            limits = [f"{name} {bound:g}" for name, bound in bounds.items() if math.isfinite(bound)]
            raise argparse.ArgumentTypeError(f"{word} must be {' and '.join(limits)}")
        return value

    return convert


def positive_or_inf(word: str) -> float:
    """A number greater than 0, or inf."""
    value = _float(word)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{word} must be more than 0, or inf")
    return value


def count_or_all(word: str) -> float:
    """A whole number from 1 on; all, inf and -1 mean no limit."""
    if word.lower() in ("all", "inf", "-1"):
        return math.inf
    return whole(1)(word)


def path(word: str) -> str:
    """A path that file systems accept, unchanged."""
    if any(len(os.fsencode(part)) > LONGEST_PART for part in word.split(os.sep)) or len(word) > LONGEST_PATH:
        raise argparse.ArgumentTypeError(f"{word} is too long: a name has at most {LONGEST_PART} bytes")
    return word


def names(word: str) -> list[str]:
    """`a,b` -> [a, b]."""
    return [name for name in word.split(",") if name]


def classes(word: str) -> list[int]:
    """`3,5` -> [3, 5]."""
    try:
        return [int(label) for label in names(word)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word} is not a list of class numbers like 3,5") from None


def gpu_ids(word: str) -> str:
    """`0`, `0,1` or `-1`, unchanged."""
    if not re.fullmatch(r"-?\d{1,4}(,-?\d{1,4})*", word):
        raise argparse.ArgumentTypeError(f"{word} is not a list of GPU numbers like 0 or 0,1; -1 is the CPU")
    return word


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word} is not a number") from None
