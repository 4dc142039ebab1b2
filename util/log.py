"""Messages to the terminal; with several processes only rank 0 prints."""

import os
import sys


def is_main() -> bool:
    """Whether this process prints and writes files. It reads torchrun's variable, so it needs no torch."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def info(message: str = "") -> None:
    """Print a line; continue without output if the reader has gone (`| head`)."""
    if is_main():
        try:
            print(message, flush=True)
        except BrokenPipeError:
            mute_stdout()


def warn(message: str) -> None:
    if is_main():
        print(f"warning: {message}", file=sys.stderr, flush=True)


def mute_stdout() -> None:
    """Send all further output to the null device, so that the flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
