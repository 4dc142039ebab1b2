"""Errors that the user can correct, and the exit codes of the programs."""

import errno
import importlib.util
import io
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from util.log import mute_stdout, printable

ROOT = Path(__file__).resolve().parent.parent
# parts of torch's messages for several kinds of devices
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


# why the system can refuse a path, whatever the program does with it
REASONS_OF_THE_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR),
    *(errno.EISDIR, errno.EIO, errno.ESTALE, errno.EDQUOT),
}


class UserError(Exception):
    """A mistake that the user can correct. Its sentence says what is wrong, where, and what to do.

    It names a flag together with its value, as in "--accumulate 3 must divide --batch_size 8".
    """

    exit_code = 2

    @property
    def flags(self) -> dict[str, str]:
        """Flag -> value for every flag in the sentence, so that tests need not depend on its wording."""
        return dict(re.findall(r"(--\w+)(?:[ =]([^\s,;:]+))?", str(self)))


class RunFault(UserError):
    """A failure during a run, such as a full disk or a loss that is NaN."""

    exit_code = 1


def run(main: Callable[[], int | None]) -> int:
    """Call `main` and return its exit code; print a UserError as one line, or with ZEBRAWOOD_DEBUG=1 raise it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for letters that the terminal does not have
    try:
        _check_working_folder()
        return main() or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        mute_stdout()
        return 0
    except Exception as error:
        failure = error if isinstance(error, UserError) else _missing_resource(error) or _plugin_fault(error)
        if failure is None or os.environ.get("ZEBRAWOOD_DEBUG") == "1":
            raise
        print("error:", printable(" ".join(str(failure).splitlines())), file=sys.stderr)
        return failure.exit_code


def _check_working_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UserError("the working folder was removed: change to another folder with cd") from error


def how_to_install(package: str) -> str:
    """What to do about a package that cannot be imported."""
    return f"activate the environment (source .venv/bin/activate), or pip install {package}"


def line_of(error: BaseException, names: Callable[[Path], bool]) -> str:
    """`file:line` of the innermost call in a file that `names` accepts; empty if there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if names(Path(frame.filename))]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _plugin_fault(error: Exception) -> UserError | None:
    """The failure to report if the error comes from a plugin that is not part of this project."""

    def is_plugin(path: Path) -> bool:
        return path.stem.endswith(("_model", "_dataset")) and not path.is_relative_to(ROOT)

    if place := line_of(error, is_plugin):
        return RunFault(
            f"{place}: {type(error).__name__}: {error}; ZEBRAWOOD_DEBUG=1 shows the whole traceback"
        )
    return None


def _missing_resource(error: Exception) -> UserError | None:
    """The failure to report if memory, disk space or a package is missing; None for other errors."""
    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).split(".")[0]
        if importlib.util.find_spec(package):
            return None  # a module of an installed package or of this project
        return UserError(f"the package {package} is not installed: {how_to_install(package)}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        mute_stdout()  # it is most likely redirected to the full disk
        return RunFault("the disk is full, perhaps because of this program's output: free some space")
    if isinstance(error, OSError) and error.filename is not None and error.errno in REASONS_OF_THE_SYSTEM:
        return RunFault(f"cannot use {error.filename}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return RunFault("too many open files: raise the limit (ulimit -n 4096), or use --num_threads 0")
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
        return RunFault(
            "out of memory: use a smaller --batch_size, --crop_size or --ngf, or in training --accumulate or "
            "--amp; the last checkpoint is intact"
        )
    return None
