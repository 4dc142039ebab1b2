"""Writing files so that a crash leaves either the old file or the new one."""

import errno
import os
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import IO

from util.drafts import draft_of
from util.errors import RunFault


def cannot_write(path: Path, error: OSError) -> RunFault:
    """The error to raise if a file cannot be written."""
    reason = error.strerror or error
    return RunFault(f"cannot write {path}: {reason}; free some space or choose another folder")


def make_folder(path: Path) -> Path:
    """Make a folder with its parents, and return it. Raises RunFault if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file for reading; raises OSError for a FIFO or a device as well, which could block for ever."""
    nonblocking = getattr(os, "O_NONBLOCK", 0)  # Windows has none
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | nonblocking))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file


def write_atomically(
    path: Path, content: bytes | Callable[[IO[bytes]], object], *, sync: bool = False
) -> None:
    """Write a temporary file in the same folder, then rename it to `path`. Missing folders are made.

    Args:
        content: the bytes of the file, or a function that writes them to the opened file.
        sync: wait until the data is on the disk, so that even a power failure leaves a complete file.

    Raises:
        RunFault: the file cannot be written; an old one is unchanged.
    """
    make_folder(path.parent)
    try:
        with draft_of(path, sync=sync) as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
    except (OSError, RuntimeError) as error:
        # torch.save raises RuntimeError when the disk is full
        reason = error if isinstance(error, OSError) else OSError(0, "the disk may be full")
        raise cannot_write(path, reason) from error


def unused(path: Path) -> Path:
    """`path` if there is nothing, otherwise the first free `<stem>_<n><suffix>`."""
    number, target, suffix = 0, path, "" if path.is_dir() else path.suffix
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name.removesuffix(suffix)}_{number}{suffix}")
    return target


def set_aside(path: Path) -> Path:
    """Rename an existing file or folder to the first free `<stem>_<n><suffix>`, and return its new path."""
    if not path.exists():
        return path
    target = unused(path)
    try:
        path.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    return target
