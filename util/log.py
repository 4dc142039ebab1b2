"""Messages to the terminal; with several processes only rank 0 prints."""

import errno
import os
import re
import stat
import sys
from contextlib import suppress


def is_main() -> bool:
    """Whether this process prints and writes files, from torchrun's environment variables."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def info(message: str = "") -> None:
    """Print a line; continue without output if the pipe is closed (`| head`) or the terminal is gone."""
    if is_main():
        try:
            print(printable(message), flush=True)
        except BrokenPipeError:
            mute_stdout()
        except OSError as error:
            _ignore_lost_terminal(error)


def warn(message: str) -> None:
    if is_main():
        try:
            print(f"warning: {printable(message)}", file=sys.stderr, flush=True)
        except OSError as error:
            _ignore_lost_terminal(error)


def printable(message: str) -> str:
    """The message with control characters other than line breaks as escapes: a file may have put them there."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", message)


def _ignore_lost_terminal(error: OSError) -> None:
    if error.errno != errno.EIO:
        raise error
    leave_terminal()


def leave_terminal() -> None:
    """Send the output that goes to a terminal to the null device: a terminal that is gone refuses it with an error."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream without a file descriptor
            # isatty() is false for a terminal that is gone
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                os.dup2(null, stream.fileno())
    os.close(null)


def mute_stdout() -> None:
    """Send all further output to the null device, so that the flush at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
