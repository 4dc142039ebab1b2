"""--cache disk: prepared images in one file that later runs use again and all processes map into memory.

The file holds the pixels, a table with the position and CRC of each image, and a digest of that table and of a
fingerprint of everything the pixels depend on. A file whose digest differs is outdated or damaged, and a new file
replaces it. A file gets its name only when it is complete, so a killed process leaves no partial file.
"""

import fcntl
import hashlib
import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import PIL

from util import log
from util.files import make_folder, write_atomically

FORMAT = 3  # increase it when the layout of the file or the preparation of images changes
DIGEST = 32  # bytes
COLUMNS = 5  # of the table: offset in the file, channels, height, width, CRC-32; all 0 for a missing image


class PixelFile:
    """`count` uint8 arrays (C, H, W) by number; raises OSError or ValueError unless the file is valid."""

    def __init__(self, path: str, fingerprint: bytes, count: int) -> None:
        self._arguments = (path, fingerprint, count)
        with open(path, "rb") as file:
            # torch requires writable memory; a write would not reach the file
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        table = content[-DIGEST - 8 * COLUMNS * count : -DIGEST]
        if content[-DIGEST:] != _digest(fingerprint, table):
            raise ValueError(f"{path} is outdated or damaged")
        self._bytes = np.frombuffer(content, np.uint8)
        self._table = np.frombuffer(table, np.int64).reshape(count, COLUMNS)
        self._verified = np.zeros(count, bool)

    def __len__(self) -> int:
        return len(self._table)

    def get(self, number: int) -> np.ndarray | None:
        """The image, which must not be modified; None if it is missing or damaged."""
        start, channels, height, width, checksum = self._table[number].tolist()
        pixels = self._bytes[start : start + channels * height * width]
        if not self._verified[number]:
            if not channels or zlib.crc32(pixels.data) != checksum:
                return None
            self._verified[number] = True
        return pixels.reshape(channels, height, width)

    def put(self, number: int, pixels: np.ndarray) -> None:
        """Do nothing: the file is complete."""

    def __reduce__(self) -> tuple:
        return PixelFile, self._arguments


def cached_file(
    path: Path, images: Callable[[], Iterable[np.ndarray | None]], count: int, *, fingerprint: bytes
) -> PixelFile:
    """Open the file `path`; unless it is valid, write it from `images()` first, where None is a missing image.

    If several processes call this at once, one of them writes and the others wait.

    Raises:
        OSError, UserError: the file cannot be written.
    """
    invalid = suppress(OSError, ValueError)
    with invalid:
        return PixelFile(str(path), fingerprint, count)
    make_folder(path.parent)
    with open(path.with_name(f"{path.name}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed or the process dies
        with invalid:  # another process may have written it in the meantime
            return PixelFile(str(path), fingerprint, count)
        log.info(f"preparing {count:,} images into {path}")
        write_atomically(path, lambda target: _write(target, images(), fingerprint), sync=True)
        return PixelFile(str(path), fingerprint, count)


def fingerprint_of(identity: str, files: Sequence[str]) -> bytes:
    """A digest of `identity`, FORMAT, Pillow's version, and the names, sizes and times of `files`."""
    digest = hashlib.blake2b(os.fsencode(f"{FORMAT} {PIL.__version__} {identity}"), digest_size=DIGEST)
    for path in files:
        status = os.stat(path)
        line = f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} "
        digest.update(line.encode() + os.fsencode(path))
    return digest.digest()


def _write(file: IO[bytes], images: Iterable[np.ndarray | None], fingerprint: bytes) -> None:
    rows, start = [], 0
    for pixels in images:
        if pixels is None:
            rows.append((0,) * COLUMNS)
            continue
        file.write(pixels.data)
        rows.append((start, *pixels.shape, zlib.crc32(pixels.data)))
        start += pixels.size
    table = np.array(rows, np.int64).tobytes()
    file.write(table + _digest(fingerprint, table))


def _digest(fingerprint: bytes, table: bytes) -> bytes:
    return hashlib.blake2b(fingerprint + table, digest_size=DIGEST).digest()
