"""An argument parser that layers its sources, and tells a mistake in one sentence."""

import argparse
import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from util import plugins
from util.arguments import Arguments
from util.errors import UserError

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Parser(Arguments):
    """Reads, from the weakest to the strongest: defaults, `layers` (where from, options), the command line.

    `parse_known_args()` without arguments, which plugins call to look at the options so far, reads
    all of them.
    """

    def __init__(self, prog: str, argv: Sequence[str]) -> None:
        super().__init__(prog=prog, allow_abbrev=False, add_help=False, formatter_class=_Formatter)
        self.argv = list(argv)
        self.layers: list[tuple[str, dict[str, Any]]] = []
        self._section: argparse._ArgumentGroup | None = None

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Flags added within the context stand under `title` in --help."""
        self._section = self.add_argument_group(title)
        try:
            yield
        finally:
            self._section = None

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        if self._section is None:
            return super().add_argument(*names, **settings)
        try:
            return self._section.add_argument(*names, **settings)
        except argparse.ArgumentError as error:
            raise UserError(f"{self._section.title}: {names[0]} exists already; rename it there") from error

    def flag(self, name: str, help: str) -> None:
        """A switch: `--x` turns it on, `--x false` off, whatever a plugin has made the default."""
        self.add_argument(name, type=switch, nargs="?", const=True, default=False, metavar="BOOL", help=help)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_known_args(self._all_arguments() if args is None else args, namespace)

    def parse_strictly(self) -> argparse.Namespace:
        """All sources; an unknown flag is a mistake."""
        opt, unknown = self.parse_known_args()
        if unknown:
            raise UserError(self._about_unknown(unknown[0]))
        return opt

    def explicit(self) -> set[str]:
        """The names of the options that stand on the command line."""
        given = (self._option_string_actions.get(word.split("=")[0]) for word in self.argv)
        return {action.dest for action in given if action is not None}

    def _all_arguments(self) -> list[str]:
        words: list[str] = []
        for source, layer in self.layers:
            given = [word for name, value in layer.items() for word in self._as_words(name, value)]
            try:
                super().parse_known_args(given)
            except UserError as error:
                raise UserError(f"{source}: {error}") from error
            words += given
        return words + self.argv

    def _as_words(self, name: str, value: Any) -> list[str]:
        action = next((action for action in self._actions if action.dest == name), None)
        if action is None or value is None or not action.option_strings:
            return []
        flag = action.option_strings[-1]
        items = value if isinstance(value, list) else [value]
        if action.nargs == 0:  # store_true, store_false: the flag alone says its constant
            return [flag] if switch(str(value)) == bool(action.const) else []
        if isinstance(action, argparse._AppendAction):
            return [f"{flag}={item}" for item in items]
        if action.nargs in ("+", "*") or isinstance(action.nargs, int):
            return [flag, *map(str, items)]
        return [f"{flag}={','.join(map(str, items))}"]

    def _about_unknown(self, word: str) -> str:
        flag = word.split("=")[0]
        if not flag.startswith("--"):
            return f"{self.prog} does not know what to do with {word}: every option needs a flag before it"
        near = difflib.get_close_matches(flag, self._option_string_actions, n=1, cutoff=0.6)
        owners = plugins.with_flag(flag)
        if owners:
            hint = f"it belongs to {', '.join(owners)}"
        elif near:
            hint = f"did you mean {near[0]}?"
        else:
            hint = f"see {self.prog} --help and {self.prog} --model NAME --help"
        return f"{flag} is no flag of {self.prog} with these plugins; {hint}"


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def switch(word: str) -> bool:
    if word.lower() in TRUE:
        return True
    if word.lower() in FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{word} is neither true nor false")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for whole numbers from `least` on."""

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
        try:
            value = float(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word} is not a number") from None
        if not math.isfinite(value) or value < least or value >= below or value <= above:
            bounds = [f"at least {least:g}"] * math.isfinite(least) + [
                f"more than {above:g}"
            ] * math.isfinite(above)
            bounds += [f"less than {below:g}"] * math.isfinite(below)
            raise argparse.ArgumentTypeError(f"{word} must be {' and '.join(bounds) or 'finite'}")
        return value

    return convert


def count_or_all(word: str) -> float:
    """A whole number from 1 on, or all / inf / -1 for as many as there are."""
    if word.lower() in ("all", "inf", "-1"):
        return math.inf
    return whole(1)(word)


def names(word: str) -> list[str]:
    """`a,b` -> [a, b]."""
    return [name for name in word.split(",") if name]
