"""Messages to the terminal; with several processes only rank 0 prints."""

import errno
import os
import re
import stat
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TextIO


def is_main() -> bool:
    """Whether this process prints and writes files, from torchrun's environment variables."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def info(message: str = "") -> None:
    """Print a line; continue without output if the pipe is closed (`| head`) or the terminal is gone."""
    _print(message, sys.stdout)


def warn(message: str) -> None:
    _print(f"warning: {message}", sys.stderr)


def printable(message: str) -> str:
    """The message with control characters other than line breaks as escapes: a file may have put them there."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", message)


def _print(line: str, stream: TextIO) -> None:
    if not is_main():
        return
    try:
        with _without_progress_bar():
            # one call, or the lines of two threads could mix
            stream.write(f"{printable(line)}\n")
            stream.flush()
    except BrokenPipeError:
        mute(stream)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        leave_terminal()


def _without_progress_bar() -> AbstractContextManager:
    """Clear tqdm's bars, if there are any, inside the context, so that a message has a line of its own."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    return tqdm.external_write_mode(file=sys.stdout) if tqdm else nullcontext()


def leave_terminal() -> None:
    """Send the output that goes to a terminal to the null device: a terminal that is gone refuses it with an error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream without a file descriptor
            # isatty() is false for a terminal that is gone
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                mute(stream)


def mute(stream: TextIO) -> None:
    """Send all further output to the null device, so that the flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
