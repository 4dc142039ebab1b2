"""A text file that grows by lines. When a run resumes, the lines after the position that it resumes at are removed."""

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from util.files import cannot_write, make_folder

Position = tuple[float, ...]
ParsePosition = Callable[[str], Position | None]


class AppendLog:
    """Opens `path` for appending, after removing the last run's lines after `limit`."""

    def __init__(self, path: Path, position: ParsePosition, limit: Position = (math.inf,)) -> None:
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


def rewind(file: BinaryIO, position: ParsePosition, limit: Position) -> None:
    """Remove an incomplete last line, and the last run's lines whose position is after `limit`.

    Positions increase within a run, so where they decrease, a new run began. Lines of earlier runs and lines
    without a position (headers) stay.
    """

    def parse(line: bytes) -> Position | None:
        return position(line.decode("utf-8", errors="replace"))

    file.seek(0)
    *lines, _incomplete = file.read().split(b"\n")
    end, later = len(lines), None
    for index in reversed(range(len(lines))):
        here = parse(lines[index])
        if here and (here <= limit or (later and here > later)):
            break
        if here:
            end, later = index, here
    headers = [line for line in lines[end:] if parse(line) is None]
    file.truncate(sum(len(line) + 1 for line in lines[:end]))
    file.write(b"".join(line + b"\n" for line in headers))
