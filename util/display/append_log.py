"""A text file that grows by lines. When a run resumes, the lines after the position that it resumes at are removed."""

import errno
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from util.files import cannot_write, make_folder

BLOCK = 1 << 16
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
    kept_bytes, later, headers, count = 0, None, list[bytes](), 0
    for start, end, line in _lines_backwards(file):
        kept_bytes = kept_bytes or end
        here = position(line.decode("utf-8", errors="replace"))
        if here is None:
            headers.append(line)
        elif here <= limit or (later and here > later):
            break
        else:
            kept_bytes, later, count = start, here, len(headers)
    file.truncate(kept_bytes)
    file.write(b"".join(line + b"\n" for line in reversed(headers[:count])))


def _lines_backwards(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, line without newline) from the last complete line to the first.

    Only the first BLOCK bytes of a longer line are returned, so that megabytes of zeros, which a power failure can
    leave, take no memory.
    """
    offset, end, tail = file.seek(0, os.SEEK_END), 0, b""
    while offset:
        size = min(BLOCK, offset)
        offset -= size
        file.seek(offset)
        block = file.read(size)
        while (newline := block.rfind(b"\n")) >= 0:
            if end:
                yield offset + newline + 1, end, block[newline + 1 :] + tail
            end, tail, block = offset + newline + 1, b"", block[:newline]
        tail = (block + tail)[:BLOCK]
    if end:
        yield 0, end, tail
