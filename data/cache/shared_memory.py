"""Prepared images in one block of memory that all forked data workers share."""

import mmap
import multiprocessing

import numpy as np

WAIT_S = 1  # timeout, so that a worker that is killed while it holds the lock does not block the others
COLUMNS = 4  # of the table: offset of the image in the block or 0, channels, height, width


class SharedPixels:
    """Up to `count` uint8 arrays (C, H, W) by number, in at most `capacity` bytes.

    The system provides memory page by page as images arrive. An image that no longer fits is not kept.
    A pickled copy, which spawned workers get, cannot share the memory and therefore keeps nothing.

    Raises:
        OSError: the system refuses to reserve the memory.
    """

    def __init__(self, count: int, capacity: int) -> None:
        header = 8 * (1 + COLUMNS * count)
        block = mmap.mmap(-1, header + capacity)
        numbers = np.frombuffer(block, np.int64, 1 + COLUMNS * count)
        self._end, self._table = numbers[:1], numbers[1:].reshape(count, COLUMNS)
        self._bytes = np.frombuffer(block, np.uint8)
        self._end[0] = header
        self._lock = multiprocessing.Lock()

    def __len__(self) -> int:
        return len(self._table)

    def get(self, number: int) -> np.ndarray | None:
        """The image, which must not be modified; None if it is not kept."""
        start, channels, height, width = self._table[number].tolist()
        if not start:
            return None
        return self._bytes[start : start + channels * height * width].reshape(channels, height, width)

    def put(self, number: int, pixels: np.ndarray) -> None:
        """Keep an image if it fits and is not kept yet."""
        if not self._lock.acquire(timeout=WAIT_S):
            return
        start = int(self._end[0])
        accepted = not self._table[number, 0] and start + pixels.size <= len(self._bytes)
        self._end[0] += pixels.size * accepted
        self._lock.release()
        if not accepted:
            return
        self._bytes[start : start + pixels.size] = pixels.ravel()
        # the lock also makes the pixels visible to other processes before the table row
        if self._lock.acquire(timeout=WAIT_S):
            self._table[number, 1:] = pixels.shape
            self._table[number, 0] = start  # last, because `get` of another process looks at it first
            self._lock.release()

    def __reduce__(self) -> tuple:
        return SharedPixels, (len(self), 0)
