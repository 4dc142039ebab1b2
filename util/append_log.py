"""A text file that grows by lines and, when a run resumes, goes back to where the run stands."""

import errno
from collections.abc import Callable
from pathlib import Path

from util.files import cannot_write, make_folder, write_whole

Position = tuple[float, ...]


def rewind(lines: list[str], position: Callable[[str], Position | None], limit: Position) -> list[str]:
    """Leave out the last run's lines beyond `limit`; lines without a position (headers) stay.

    A resumed run goes on upwards, so a step back in position tells that a new run began there: the
    lines of the runs before it are nobody's to cut.
    """
    start, last = 0, None
    for index, line in enumerate(lines):
        at = position(line)
        if at is None:
            continue
        if last is not None and at < last:
            start = index
        last = at
    kept = [line for line in lines[start:] if (at := position(line)) is None or at <= limit]
    return lines[:start] + kept


class AppendLog:
    """Opens `path` for appending; with a `limit`, the lines beyond it are taken out first."""

    def __init__(
        self, path: Path, *, position: Callable[[str], Position | None], limit: Position | None
    ) -> None:
        self.path = path
        make_folder(path.parent)
        try:
            self._mend(position, limit)
            # unbuffered: each line is on its way to the disk when add() returns, and close() cannot fail
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error

    def _mend(self, position: Callable[[str], Position | None], limit: Position | None) -> None:
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        lines = text.split("\n")[:-1]  # what follows the last newline is the half line of a kill
        if limit is not None:
            lines = rewind(lines, position, limit)
        mended = "".join(f"{line}\n" for line in lines)
        if mended != text:
            write_whole(self.path, mended.encode("utf-8"))

    def add(self, line: str) -> None:
        data = f"{line}\n".encode()
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        self._file.close()
