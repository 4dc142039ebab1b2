"""An argument parser that combines several sources of options and knows what each flag is for."""

import argparse
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from util import plugin_source
from util.cli.arguments import Arguments, Metavars
from util.cli.flag_types import count_or_all, names, number, positive_or_inf, switch, whole
from util.cli.suggest import nearest
from util.errors import UserError

__all__ = ["Parser", "count_or_all", "names", "number", "positive_or_inf", "switch", "whole"]


class MissingOption(UserError, AttributeError):
    """An option of the training run that testing does not have; hasattr() and getattr() see an AttributeError."""


class Options(argparse.Namespace):
    """A Namespace that also names the options that decide pixels, and those of the run that testing does not have.

    `pixel_options` and `only_in_training` are not options: `vars()` leaves them out, and so do files of options.
    """

    __slots__ = ("only_in_training", "pixel_options")
    only_in_training: frozenset[str]
    pixel_options: tuple[str, ...]

    def __getattr__(self, name: str) -> Any:  # called for missing attributes only
        if name not in Options.__slots__ and name in getattr(self, "only_in_training", ()):
            raise MissingOption(
                f"--{name} is not defined in testing: add it outside `if is_train:` in modify_commandline_options"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@dataclass(frozen=True)
class Attributes:
    """The keywords of Parser.add_argument that argparse does not have."""

    for_testing: bool = False
    changes_pixels: bool = False
    fresh_start: bool = False
    follows: tuple[str, ...] = ()
    kept_outside: Callable[[Any], list[str]] | None = None


class Parser(Arguments):
    """Reads, from the weakest to the strongest: defaults, `layers` (source, options), the command line.

    `parse_known_args()` without arguments, which plugins call to look at the options so far, reads
    all of them.
    """

    def __init__(self, prog: str, argv: Sequence[str], *, is_train: bool = True) -> None:
        super().__init__(prog=prog, allow_abbrev=False, add_help=False, formatter_class=_Formatter)
        self.usage = f"{prog} [--dataroot FOLDER] --name RUN [flags]"
        self.argv = list(argv)
        self.layers: list[tuple[str, dict[str, Any]]] = []
        self.is_train = is_train
        self._section: argparse._ArgumentGroup | None = None
        self._plugin_section = False
        self._attributes: dict[str, Attributes] = {}

    @contextmanager
    def section(self, title: str, *, of_plugin: bool = False) -> Iterator[None]:
        """Show the flags that are added within the context under `title` in --help."""
        note = "values are as in training; the defaults below are those of flags that training does not have"
        self._section = self.add_argument_group(title, note if of_plugin and not self.is_train else None)
        self._plugin_section = of_plugin
        try:
            yield
        finally:
            self._section, self._plugin_section = None, False

    def add_argument(
        self,
        *names: Any,
        for_testing: bool | None = None,
        changes_pixels: bool = False,
        fresh_start: bool = False,
        follows: Iterable[str] = (),
        kept_outside: Callable[[Any], list[str]] | None = None,
        **settings: Any,
    ) -> argparse.Action:
        """As argparse's, with attributes that tell the rest of the program how to use the flag.

        Args:
            for_testing: test.py takes the value from the run, because the networks or their input depend on it.
                If not given: True for flags of a plugin, False for others.
            changes_pixels: prepared images depend on the value, so each value has its own image cache.
            fresh_start: the value is valid for one start, and a resumed run does not take it over.
            follows: options that this one is computed from; if the user gives one of them, a resumed run does not
                take this one over.
            kept_outside: the values can name code or servers. It returns the parts of a value that a start does not
                take from the options of a run, unless they are the default or util.trained_with has recorded them.
        """
        if settings.get("type") in (int, float) and settings.get("default") not in (math.inf, -math.inf):
            settings["type"] = whole() if settings["type"] is int else number()  # no inf, nan or huge numbers
        add = self._section.add_argument if self._section else super().add_argument
        try:
            action = add(*names, **settings)
        except argparse.ArgumentError as error:
            where = f"{self._section.title}: " if self._section else ""
            raise UserError(f"{where}there is a flag {names[0]} already; rename the new one") from error
        inherited = self._plugin_section if for_testing is None else for_testing
        self._attributes[action.dest] = Attributes(
            inherited, changes_pixels, fresh_start, tuple(follows), kept_outside
        )
        if for_testing and not self.is_train:
            self.note_defaults(**{action.dest: "as in training"})
        return action

    def option(self, name: str, type: Any, default: Any, help: str, **settings: Any) -> None:
        """Add one row of a table of flags. `type` is a function that converts the value, or a tuple of choices."""
        kind = {"choices": type} if isinstance(type, tuple) else {"type": type}
        self.add_argument(name, default=default, help=help, **kind, **settings)

    def flag(self, name: str, help: str, **attributes: Any) -> None:
        """Add a switch: `--x` turns it on, and `--x false` turns it off if it is on by default."""
        self.option(name, switch, False, help, nargs="?", const=True, metavar="BOOL", **attributes)

    def note_defaults(self, **notes: str) -> None:
        """Make --help print `(default: note)` for options whose default is not a constant."""
        for action in self._actions:
            if action.dest in notes:
                action.default_note = notes[action.dest]  # type: ignore[attr-defined]

    def attributes(self, name: str) -> Attributes:
        """The attributes of an option; one that is not declared here is assumed to be a plugin's."""
        return self._attributes.get(name, Attributes(for_testing=True))

    def parts_kept_outside(self, options: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """(option, part) of the values that only the user may choose, without the parts of the defaults."""
        for name, value in options.items():
            parts = self.attributes(name).kept_outside
            if parts is not None and value is not None:
                default = self.get_default(name)
                known = [] if default is None else parts(default)
                yield from ((name, part) for part in parts(value) if part not in known)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = self._all_arguments() if args is None else args
        opt, unknown = super().parse_known_args(words, namespace or Options())
        if isinstance(opt, Options):
            deciding = (name for name, its in self._attributes.items() if its.changes_pixels)
            opt.pixel_options = tuple(sorted(deciding))
        return opt, unknown

    def has(self, flag: str) -> bool:
        return flag in self._option_string_actions

    def explicit(self) -> set[str]:
        """The names of the options on the command line."""
        actions = (self._option_string_actions.get(word.split("=")[0]) for word in self.argv)
        return {action.dest for action in actions if action is not None}

    def given(self) -> set[str]:
        """The names of the options that the user sets, on the command line or in the file of --config."""
        return self.explicit() | self.layers[-1][1].keys()

    def _all_arguments(self) -> list[str]:
        words: list[str] = []
        for position, (source, layer) in enumerate(self.layers):
            stronger = self.explicit().union(*(later for _, later in self.layers[position + 1 :]))
            weaker = {name: value for name, value in layer.items() if name not in stronger}
            try:
                layer_words = [word for name, value in weaker.items() for word in self._as_words(name, value)]
                super().parse_known_args(layer_words)
            except UserError as error:
                raise UserError(f"{source}: {error}") from error
            words += layer_words
        return words + self.argv

    def _as_words(self, name: str, value: Any) -> list[str]:
        action = next((action for action in self._actions if action.dest == name), None)
        if action is None or value is None or not action.option_strings:
            return []
        flag = action.option_strings[-1]
        items = value if isinstance(value, list) else [value]
        is_repeatable = isinstance(action, argparse._AppendAction)
        is_text = action.type in (None, str) and not isinstance(action.default, list) and action.nargs is None
        if isinstance(value, list) and is_text and not is_repeatable:
            raise UserError(f"{flag} needs one value, not a list of {len(value)}")
        is_flag = any(str(item).startswith("--") for item in items)
        if any(isinstance(item, list | dict) for item in items) or (is_flag and not is_repeatable):
            raise UserError(f"{flag} needs plain values: text or numbers that do not begin with --")
        if action.nargs == 0:  # store_true, store_false: the flag alone sets its constant
            return [flag] if switch(str(value)) == bool(action.const) else []
        if is_repeatable:  # the values may be folders of any name
            return [f"{flag}={item}" for item in items]
        if action.nargs in ("+", "*") or isinstance(action.nargs, int):
            return [flag, *map(str, items)]
        return [f"{flag}={','.join(map(str, items))}"]

    def about_unknown(self, word: str, plugin_flags: Iterable[str] = ()) -> str:
        """The sentence about a word that is neither a flag of this parser, nor of `plugin_flags`, nor a value."""
        flag = word.split("=")[0]
        if not flag.startswith("--"):
            example = "--dataroot" if os.path.exists(word) else "--name"
            hint = f"write the name of a flag before it, as in {example} {word}"
            return f"{self.prog} does not accept the word {word}: {hint}; quote a value that contains spaces"
        if owners := plugin_source.owners(flag):
            hint = f"it belongs to {', '.join(owners)}"
        elif similar := nearest(flag, [*self._option_string_actions, *plugin_flags]):
            hint = f"did you mean {similar}?"
        else:
            hint = f"see {self.prog} --help and {self.prog} --model NAME --help"
        return f"{flag} is not a flag of {self.prog} with the chosen --model and --dataset_mode; {hint}"


class _Formatter(Metavars):
    """Adds the default to the help of each flag that has one."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if isinstance(default, list):
            default = ",".join(map(str, default))
        note = getattr(action, "default_note", default)
        if note is None or note is False or note in ("", argparse.SUPPRESS) or "default:" in text:
            return text
        return f"{text} (default: {note})".replace("%", "%%")
