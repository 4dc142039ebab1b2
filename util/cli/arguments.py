"""An argument parser that reports an error in one sentence, like the rest of the project."""

import argparse
from typing import NoReturn

from util.errors import UserError


class Arguments(argparse.ArgumentParser):
    """Raises UserError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message.replace("argument ", "", 1) + f"; see {self.prog} --help")
