"""A text file that grows by lines and, when a run resumes, is cut back to where the run continues."""

import errno
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from util.files import cannot_write, make_folder

Position = tuple[float, ...]
ParsePosition = Callable[[str], Position | None]


def rewind(file: BinaryIO, position: ParsePosition, limit: Position | None) -> None:
    """Remove an incomplete last line and, with a `limit`, the last run's lines after that position.

    Lines without a position (headers) stay. Positions increase within a run, so where they decrease, a new
    run began; lines of earlier runs stay. The file is read backwards, and only as far as lines are removed.
    """

    def parse(line: bytes) -> Position | None:
        return position(line.decode("utf-8", errors="replace").removesuffix("\n"))

    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    with mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as text:
        later: Position | None = None
        for start, line in _lines_from_the_end(text):
            if not line.endswith(b"\n"):
                end = start
                continue
            here = parse(line) if limit else None
            if limit is None or (here and (here <= limit or (later and here > later))):
                break
            if here:
                end, later = start, here
        removed = text[end:].split(b"\n")[:-1]
    file.truncate(end)
    file.writelines(line + b"\n" for line in removed if parse(line) is None)


def _lines_from_the_end(text: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, line with its newline) from the last line to the first."""
    end = len(text)
    while end:
        start = text.rfind(b"\n", 0, end - 1) + 1
        yield start, text[start:end]
        end = start


class AppendLog:
    """Opens `path` for appending; with a `limit`, removes the lines after it first."""

    def __init__(self, path: Path, *, position: ParsePosition, limit: Position | None) -> None:
        self.path = path
        make_folder(path.parent)
        try:
            # unbuffered: a line reaches the operating system before add() returns, and close() cannot fail
            self._file = path.open("a+b", buffering=0)
            rewind(self._file, position, limit)
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, line: str) -> None:
        """Append a line. Raises RunFault if the disk is full."""
        data = f"{line}\n".encode()
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        self._file.close()
