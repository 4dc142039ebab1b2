"""A text file that grows by lines and, when a run resumes, goes back to where the run stands."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from util.files import cannot_write, make_folder

Position = tuple[float, ...]
BLOCK = 65536  # bytes read at once, from the end on


def rewind(file: IO[bytes], position: Callable[[str], Position | None], limit: Position | None) -> None:
    """Cut off the half line of a kill and, with a `limit`, the last run's lines beyond it.

    Lines without a position (headers) stay. A resumed run goes on upwards, so a step back in position
    tells that a new run began there: the lines of the runs before it are nobody's to cut. Only the lines
    that go are read, and one more: it takes no longer where the file is large.
    """
    cut = file.seek(0, os.SEEK_END)
    headers: list[bytes] = []  # behind the cut
    passed: list[bytes] = []  # since the line that was looked at last
    after: Position | None = None
    for start, line in _from_the_end(file):
        if not line.endswith(b"\n"):
            cut = start
            continue
        if limit is None:
            break
        at = position(line.decode("utf-8", errors="replace").removesuffix("\n"))
        if at is None:
            passed.append(line)
            continue
        if at <= limit or (after is not None and at > after):
            break
        cut, after = start, at
        headers += passed
        passed.clear()
    file.truncate(cut)
    file.seek(cut)
    file.writelines(reversed(headers))


def _from_the_end(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(where it starts, the line with its newline) from the last line to the first."""
    start = file.seek(0, os.SEEK_END)
    text = b""  # what is read and not yet given: [start, start + len(text))
    while start or text:
        before = text.rfind(b"\n", 0, -1)  # where the line before the last ends
        if before < 0 and start:
            part = min(BLOCK, start)
            start = file.seek(start - part)
            text = file.read(part) + text
            continue
        yield start + before + 1, text[before + 1 :]
        text = text[: before + 1]


class AppendLog:
    """Opens `path` for appending; with a `limit`, the lines beyond it are taken out first."""

    def __init__(
        self, path: Path, *, position: Callable[[str], Position | None], limit: Position | None
    ) -> None:
        self.path = path
        make_folder(path.parent)
        try:
            if path.exists():
                with path.open("r+b") as file:
                    rewind(file, position, limit)
            # unbuffered: each line is on its way to the disk when add() returns, and close() cannot fail
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, line: str) -> None:
        data = f"{line}\n".encode()
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        self._file.close()
