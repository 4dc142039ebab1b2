"""Draft files: what is being written gets its name only when it is complete, and two writers never share a draft."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# a link in a folder from somebody else could lead anywhere, and a pipe would wait for a reader
SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextmanager
def draft_of(path: Path, *, sync: bool) -> Iterator[IO[bytes]]:
    """A file in the folder of `path` that is renamed to `path` at the end of the block, and removed if that fails.

    A draft is locked while it is written. The system releases the lock of a killed writer, and the next writer of
    `path` uses its draft again or removes it, so that none is left. With `sync` the data has reached the disk before
    the draft is renamed.
    """
    draft, file = _open_locked(path)
    lock = os.dup(file.fileno()) if fcntl else None  # keeps the lock until the file is closed and renamed
    try:
        with file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:  # also KeyboardInterrupt
        with suppress(OSError):
            draft.unlink()
        raise
    finally:
        if lock is not None:
            os.close(lock)
        _remove_abandoned(path)


def _open_locked(path: Path) -> tuple[Path, IO[bytes]]:
    """The first draft of `path` that nobody is writing to, empty, locked and open."""
    for number in count():
        draft = _draft(path, number)
        file = open(draft, "wb", opener=_open_untruncated)  # noqa: SIM115, the caller closes it
        try:
            if _lock(file) and _is_at(draft, file):
                file.truncate(0)
                return draft, file
        except OSError:  # this file system has no locks
            file.close()
            own = path.with_name(f".{path.name}.{os.uname().nodename}-{os.getpid()}.tmp")
            return own, own.open("wb")
        file.close()
    raise AssertionError("unreachable")


def _open_untruncated(path: str, flags: int) -> int:
    """Open as the flags say, but leave the content, which another writer may be writing, as it is."""
    return os.open(path, flags & ~os.O_TRUNC | SAFELY, 0o666)


def _remove_abandoned(path: Path) -> None:
    """Remove the drafts of killed writers."""
    for number in count():
        draft = _draft(path, number)
        if number and not draft.exists():
            return
        with suppress(OSError), draft.open("rb") as file:
            if _lock(file) and _is_at(draft, file):
                draft.unlink()


def _draft(path: Path, number: int) -> Path:
    return path.with_name(f".{path.name}.{number or ''}".rstrip(".") + ".tmp")


def _lock(file: IO[bytes]) -> bool:
    """Whether nobody else writes to a draft; raises OSError on file systems without locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(draft: Path, file: IO[bytes]) -> bool:
    """Whether an open file still has this name; its former writer may have renamed it before the lock was free."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), draft.stat())
    return False
