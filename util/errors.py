"""A person's mistakes and a run's misfortunes, each told in one sentence and an exit code."""

import errno
import os
import re
import sys
from collections.abc import Callable

# what torch says, on one device or another, as a plain RuntimeError
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class UserError(Exception):
    """A mistake that the user can correct: one sentence that says what is wrong, where, and what to do.

    The sentence names a flag together with its value, as in "--accumulate 3 must divide --batch_size 8".
    """

    exit_code = 2

    @property
    def flags(self) -> dict[str, str]:
        """Flag -> the word after it, for every flag that the sentence names, in order.

        Callers and tests identify an error by these fields, so that its wording can change.
        """
        return dict(re.findall(r"(--\w+)(?:[ =]([^\s,;:]+))?", str(self)))


class RunFault(UserError):
    """Something that went wrong while running: a full disk, a NaN in the loss."""

    exit_code = 1


def run(main: Callable[[], int | None]) -> int:
    """Call `main` and return its exit code, with the known errors told in one sentence on stderr.

    ZEBRAWOOD_DEBUG=1 in the environment shows the traceback as well.
    """
    try:
        return main() or 0
    except UserError as error:
        if os.environ.get("ZEBRAWOOD_DEBUG") == "1":
            raise
        return _tell(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MemoryError, RuntimeError, OSError) as error:
        fault = _fault_of_the_machine(error)
        if fault is None:
            raise
        return _tell(fault)


def _tell(error: UserError) -> int:
    print("error:", " ".join(str(error).splitlines()), file=sys.stderr)
    return error.exit_code


def _fault_of_the_machine(error: Exception) -> RunFault | None:
    """The sentence for memory or a disk that ran out where no file of ours was being written."""
    if isinstance(error, OSError):
        if error.errno != errno.ENOSPC:
            return None
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # most likely the full one
        return RunFault("the disk is full, perhaps under the output of this program: free some space")
    if not isinstance(error, MemoryError) and not any(words in str(error).lower() for words in OUT_OF_MEMORY):
        return None
    return RunFault(
        "out of memory: use a smaller --batch_size, --crop_size or --ngf, or in training --accumulate or --amp; "
        "what was saved last is unharmed"
    )
