"""An argument parser that reports a mistake in one sentence, as the rest of the program does."""

import argparse
from typing import Any, NoReturn

from util.errors import UserError


class Arguments(argparse.ArgumentParser):
    """Raises UserError where argparse would print its usage and exit; prints `description` with its line breaks."""

    def __init__(self, description: str | None = None, **options: Any) -> None:
        super().__init__(
            description=description, **({"formatter_class": argparse.RawTextHelpFormatter} | options)
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(message.replace("argument ", "", 1) + f"; see {self.prog} --help")
