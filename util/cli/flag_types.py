"""Types of flags: each converts a word to a value or raises an error that says what is wrong with it."""

import argparse
import math
import re
from collections.abc import Callable

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def switch(word: str) -> bool:
    if word.lower() in TRUE:
        return True
    if word.lower() in FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{word} is neither true nor false")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for whole numbers from `least` to `most`."""

    def convert(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word} is not a whole number") from None
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{word} must be {bounds}")
        return value

    return convert


def number(
    least: float = -math.inf, below: float = math.inf, above: float = -math.inf
) -> Callable[[str], float]:
    """A type for finite numbers with least <= x < below and x > above."""

    def convert(word: str) -> float:
        value = _float(word)
        if not math.isfinite(value) or not (least <= value < below and value > above):
            bounds = {"at least": least, "more than": above, "less than": below}
            limits = [f"{name} {bound:g}" for name, bound in bounds.items() if math.isfinite(bound)]
            raise argparse.ArgumentTypeError(f"{word} must be {' and '.join(limits) or 'finite'}")
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
    if not re.fullmatch(r"-?\d+(,-?\d+)*", word):
        raise argparse.ArgumentTypeError(f"{word} is not a list of GPU numbers like 0 or 0,1; -1 is the CPU")
    return word


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word} is not a number") from None
