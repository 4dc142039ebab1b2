"""An argument parser that reports a mistake in one sentence, as the rest of the program does."""

import argparse
import re
from typing import Any, NoReturn

from util.errors import UserError


class Metavars(argparse.HelpFormatter):
    """Shows N for whole numbers, X for others, and for the rest the last word of the flag's name or VALUE."""

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        kind = getattr(action.type, "__qualname__", "").split(".")[0]
        *others, last = action.dest.split("_")
        word = last.upper() if others else "VALUE"
        return {"whole": "N", "int": "N", "number": "X", "float": "X", "Path": "PATH"}.get(kind, word)


class _RawText(Metavars, argparse.RawTextHelpFormatter):
    """As Metavars; keeps the line breaks of texts."""


class Arguments(argparse.ArgumentParser):
    """Raises UserError where argparse would print its usage and exit; prints `description` with its line breaks."""

    def __init__(self, description: str | None = None, **options: Any) -> None:
        super().__init__(description=description, **({"formatter_class": _RawText} | options))

    def error(self, message: str) -> NoReturn:
        # a word of thousands of characters is cut off
        short = re.sub(r"\S{200,}", lambda match: f"{match[0][:40]}...", message.replace("argument ", "", 1))
        raise UserError(f"{short}; see {self.prog} --help")

    def _get_value(self, action: argparse.Action, word: str) -> Any:
        """argparse converts every value here; control characters and surrogates could not be printed or saved."""
        if any(ord(letter) < 32 or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in word):
            raise argparse.ArgumentError(action, f"{word!a} must be plain text in UTF-8")
        return super()._get_value(action, word)
