"""Errors that the user can correct, and the exit codes of the programs."""

import errno
import importlib.util
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from util.log import mute, printable

ROOT = Path(__file__).resolve().parent.parent
# parts of torch's messages for several kinds of devices
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
NEEDED = ("torch", "torchvision", "numpy", "PIL", "dominate")
INSTALLED_AS = {"PIL": "pillow", "yaml": "pyyaml"}
ENVIRONMENT = ROOT / ".venv" / "bin" / "activate"


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
        mute(sys.stdout)
        return 0
    except Exception as error:
        failure = error if isinstance(error, UserError) else _missing_resource(error) or _plugin_fault(error)
        if failure is None or os.environ.get("ZEBRAWOOD_DEBUG") == "1":
            raise
        print("error:", printable(" ".join(str(failure).splitlines())), file=sys.stderr)
        return failure.exit_code


def _check_working_folder() -> None:
    """Raise UserError if the working folder was removed, which torch's libraries do not survive."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UserError(
            "the current folder was removed: change to another one (cd) and start again"
        ) from error


@contextmanager
def out_of_memory(advice: str) -> Iterator[None]:
    """Turn the error of a block that needs more memory than there is into one that says what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if _is_out_of_memory(error):
            raise RunFault(f"out of memory: {advice}") from error
        raise


def how_to_install(package: str) -> str:
    """What to do about a package that cannot be imported."""
    first = "" if ENVIRONMENT.exists() else "run make setup and "
    inside = ENVIRONMENT.is_relative_to(Path.cwd())
    activate = ENVIRONMENT.relative_to(Path.cwd()) if inside else ENVIRONMENT
    return f"{first}activate the environment (source {activate}), or pip install {package}"


def check_installed() -> None:
    """Raise UserError if a package that the project needs is missing."""
    for package in NEEDED:
        if not importlib.util.find_spec(package):
            raise not_installed(package)


def not_installed(package: str) -> UserError:
    """The error for a package that cannot be imported; it names all missing packages that the project needs."""
    candidates = [name for name in NEEDED if name != package and name not in sys.modules]
    missing = [name for name in candidates if not importlib.util.find_spec(name)]
    subject = f"the packages {', '.join([package, *missing])} are" if missing else f"the package {package} is"
    names = " ".join(INSTALLED_AS.get(name, name) for name in [package, *missing])
    return UserError(f"{subject} not installed for {sys.executable}: {how_to_install(names)}")


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


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
        return not_installed(package)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        mute(sys.stdout)  # it is most likely redirected to the full disk
        return RunFault("the disk is full, perhaps because of this program's output: free some space")
    if isinstance(error, OSError) and error.filename is not None and error.errno in REASONS_OF_THE_SYSTEM:
        return RunFault(f"cannot use {error.filename}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return RunFault("too many open files: raise the limit (ulimit -n 4096), or use --num_threads 0")
    if _is_out_of_memory(error):
        return RunFault(
            "out of memory: use a smaller --batch_size, --crop_size or --ngf, or in training --accumulate or "
            "--amp; the last checkpoint is intact"
        )
    return None


def explain_missing_package(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """A sys.excepthook for scripts that import packages at their top: one sentence if a package is missing."""
    failure = _missing_resource(error) if isinstance(error, ModuleNotFoundError) else None
    if failure is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print("error:", failure, file=sys.stderr)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)
