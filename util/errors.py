"""A person's mistakes and a run's misfortunes, each told in one sentence and an exit code."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake that can be mended by the person: what is wrong, where, and what to do."""

    exit_code = 2


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
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
