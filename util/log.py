"""What the program says in words; under torchrun rank 0 speaks alone."""

import os
import sys


def is_main() -> bool:
    """True in the one process that prints and writes; needs no torch, so it works before it is loaded."""
    return int(os.environ.get("RANK", "0")) == 0


def info(message: str = "") -> None:
    """Print a line; where nobody reads any more (`| head`), go on in silence."""
    if is_main():
        try:
            print(message, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(message: str) -> None:
    if is_main():
        print(f"warning: {message}", file=sys.stderr, flush=True)
