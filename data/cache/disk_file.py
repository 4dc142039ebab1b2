"""--cache disk: prepared images in a file that processes map into memory, made once and believed only if whole.

It lies in $XDG_CACHE_HOME, or ~/.cache, under zebrawood/pixels: a fingerprint of all that the pixels depend
on, the pixels, a table of where each image is, and the checksum of that table. When the fingerprint has changed,
a new file replaces it. An image that does not have its checksum is read from its own file again.
"""

import fcntl
import hashlib
import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import PIL

from util import log
from util.cache_folder import cache_folder
from util.files import make_folder, stream_whole

FORMAT = 1  # raise it when the layout or the making of prepared images changes
DIGEST = 32
WORDS = 5  # of an image's row in the table: where it starts or 0, channels, height, width, checksum


class PixelFile:
    """uint8 arrays (C, H, W) by number, 0 to `count` - 1; `count` is the length.

    Raises:
        OSError, ValueError: no such file, or it is damaged or not the one that is wanted.
    """

    def __init__(self, path: str, fingerprint: bytes, count: int) -> None:
        self._again = (path, fingerprint, count)
        with open(path, "rb") as file:
            # a private mapping may be written to, which torch asks for; nobody does
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._bytes = np.frombuffer(self._memory, np.uint8)
        table = self._memory[-8 - 8 * WORDS * count : -8]
        if self._memory[:DIGEST] != fingerprint or _checksum(table) != self._memory[-8:]:
            raise ValueError(f"{path} is not what it should be")
        self._table = np.frombuffer(table, np.int64).reshape(count, WORDS)
        self._checked = np.zeros(count, bool)

    def __len__(self) -> int:
        return len(self._table)

    def get(self, number: int) -> np.ndarray | None:
        """The image, not to be written to; None where it is not kept, or damaged."""
        start, channels, height, width, checksum = self._table[number].tolist()
        pixels = self._bytes[start : start + channels * height * width]
        if not self._checked[number]:
            if not start or zlib.crc32(pixels.data) != checksum:
                return None
            self._checked[number] = True
        return pixels.reshape(channels, height, width)

    def put(self, number: int, pixels: np.ndarray) -> None:
        """Nothing: a file is not changed once it is made."""

    def __reduce__(self) -> tuple:
        return PixelFile, self._again


def kept_file(
    images: Callable[[], Iterable[np.ndarray | None]], count: int, *, name: str, fingerprint: bytes
) -> PixelFile:
    """The file called `name`, made of `images()` unless it is there; None among them is not kept.

    Several processes may ask at once: one makes it, the others wait for it.

    Raises:
        OSError, UserError: the file cannot be made.
    """
    path = pixels_folder() / name
    found = _opened(path, fingerprint, count)
    if found is not None:
        return found
    make_folder(path.parent)
    with _alone(path):
        found = _opened(path, fingerprint, count)
        if found is None:
            log.info(f"preparing {count:,} images into {path}")
            stream_whole(path, lambda file: _write(file, images(), fingerprint))
            found = PixelFile(str(path), fingerprint, count)
    return found


def pixels_folder() -> Path:
    return cache_folder("pixels")


def fingerprint_of(identity: str, files: Sequence[str]) -> bytes:
    """Changes with `identity`, our format, Pillow, and the names, sizes and time stamps of `files`."""
    digest = hashlib.blake2b(f"{FORMAT} {PIL.__version__} {identity}".encode(), digest_size=DIGEST)
    for path in files:
        found = os.stat(path)
        digest.update(
            f"\0{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} ".encode() + os.fsencode(path)
        )
    return digest.digest()


def _opened(path: Path, fingerprint: bytes, count: int) -> PixelFile | None:
    try:
        return PixelFile(str(path), fingerprint, count)
    except (OSError, ValueError):  # not there, or of no use
        return None


def _write(file: IO[bytes], images: Iterable[np.ndarray | None], fingerprint: bytes) -> None:
    file.write(fingerprint)
    rows, start = [], DIGEST
    for pixels in images:
        if pixels is None:
            rows.append((0, 0, 0, 0, 0))
            continue
        file.write(pixels.data)
        rows.append((start, *pixels.shape, zlib.crc32(pixels.data)))
        start += pixels.size
    table = np.array(rows, np.int64).tobytes()
    file.write(table + _checksum(table))


def _checksum(table: bytes) -> bytes:
    return zlib.crc32(table).to_bytes(8, "little")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else on this machine, or on others that share the folder, is within the block for this path."""
    with open(path.with_name(f"{path.name}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, or its process killed
        yield
