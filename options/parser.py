"""An argument parser that layers its sources, and tells a mistake in one sentence."""

import argparse
import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from util import plugins
from util.cli.arguments import Arguments
from util.cli.flag_types import count_or_all, names, number, positive_or_inf, switch, whole
from util.errors import UserError

__all__ = ["Parser", "count_or_all", "names", "number", "positive_or_inf", "switch", "whole"]


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
            raise UserError(self.about_unknown(unknown[0]))
        return opt

    def nearest(self, flag: str, others: Iterable[str] = ()) -> str:
        """The flag most like a misspelt one, among this parser's and `others`; empty where none is alike."""
        known = {*self._option_string_actions, *others}
        return next(iter(difflib.get_close_matches(flag, known, n=1, cutoff=0.6)), "")

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

    def about_unknown(self, word: str) -> str:
        """The sentence about a word of the command line that nothing asks for."""
        flag = word.split("=")[0]
        if not flag.startswith("--"):
            return f"{self.prog} does not know what to do with {word}: every option needs a flag before it"
        near = self.nearest(flag)
        owners = plugins.with_flag(flag)
        if owners:
            hint = f"it belongs to {', '.join(owners)}"
        elif near:
            hint = f"did you mean {near}?"
        else:
            hint = f"see {self.prog} --help and {self.prog} --model NAME --help"
        return f"{flag} is no flag of {self.prog} with these plugins; {hint}"


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)
