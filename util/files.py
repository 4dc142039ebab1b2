"""Writing pages, pictures and logs: a kill leaves the old file or the new one."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from util.errors import RunFault


def cannot_write(path: Path, error: OSError) -> RunFault:
    """The sentence for a file that could not be written."""
    reason = error.strerror or str(error)
    return RunFault(
        f"cannot write {path}: {reason}; free some space there or choose a folder you may write to"
    )


def make_folder(path: Path) -> Path:
    """Make the folder and its parents; RunFault where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write through a temporary file in the same folder and rename; RunFault where that fails."""
    stream_whole(path, lambda file: file.write(data), sync=False)


def stream_whole(path: Path, write: Callable[[IO[bytes]], object], *, sync: bool = True) -> None:
    """Call `write` on a temporary file in the same folder and rename it; RunFault where that fails.

    With `sync` the bytes are on the disk when it returns, so not even a power cut leaves half a file.
    """
    # of one name, so that what a killed process left is written over
    draft = path.with_name(f".{path.name}.tmp")
    make_folder(path.parent)
    try:
        with draft.open("wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException as error:  # Ctrl-C, too, leaves no draft
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if not isinstance(error, OSError | RuntimeError):
            raise
        # torch's zip writer tells a full disk as a RuntimeError
        reason = error if isinstance(error, OSError) else OSError(0, "the disk may be full")
        raise cannot_write(path, reason) from error


def set_aside(path: Path) -> Path:
    """Rename what an earlier run left to the first free `<stem>_<n><suffix>`, and return that; nothing there is fine."""
    if not path.exists():
        return path
    number, ending = 1, "" if path.is_dir() else path.suffix
    stem = path.name.removesuffix(ending)
    while (target := path.with_name(f"{stem}_{number}{ending}")).exists():
        number += 1
    try:
        path.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    return target
