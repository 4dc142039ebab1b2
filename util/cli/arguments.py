"""An argument parser that reports a mistake in one sentence, as the rest of the program does."""

import argparse
import re
from typing import Any, NoReturn

from util.errors import UserError


class Arguments(argparse.ArgumentParser):
    """Raises UserError where argparse would print its usage and exit; prints `description` with its line breaks."""

    def __init__(self, description: str | None = None, **options: Any) -> None:
        super().__init__(
            description=description, **({"formatter_class": argparse.RawTextHelpFormatter} | options)
        )

    def error(self, message: str) -> NoReturn:
        # a word of thousands of characters is cut off
        short = re.sub(r"\S{200,}", lambda match: f"{match[0][:40]}...", message.replace("argument ", "", 1))
        raise UserError(f"{short}; see {self.prog} --help")

    def _get_value(self, action: argparse.Action, word: str) -> Any:
        """argparse converts every value here; control characters and surrogates could not be printed or saved."""
        if any(ord(letter) < 32 or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in word):
            raise argparse.ArgumentError(action, f"{word!a} must be plain text in UTF-8")
        return super()._get_value(action, word)  # type: ignore[misc]
