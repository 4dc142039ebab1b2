"""Prepared images in one block of memory that forked data workers share, filled as they are first read."""

import mmap
import multiprocessing

import numpy as np

WAIT_S = 1  # for another process that puts an image: longer takes only one that was killed within
WORDS = 4  # of an image's row in the table: where it starts, then channels, height, width


class SharedPixels:
    """uint8 arrays (C, H, W) by number, 0 to `count` - 1, in at most `room` bytes; `count` is the length.

    Memory is taken page by page, as images come in. What does not fit any more is not kept. A pickled copy,
    as spawned workers get it, keeps nothing: it could not be shared.

    Raises:
        OSError: the system does not give so much memory.
    """

    def __init__(self, count: int, room: int) -> None:
        first = 8 * (1 + WORDS * count)
        self._memory = mmap.mmap(-1, first + room)
        words = np.frombuffer(self._memory, np.int64, 1 + WORDS * count)
        self._end, self._table = words[:1], words[1:].reshape(count, WORDS)
        self._bytes = np.frombuffer(self._memory, np.uint8)
        self._end[0] = first
        self._lock = multiprocessing.Lock()

    def __len__(self) -> int:
        return len(self._table)

    def get(self, number: int) -> np.ndarray | None:
        """The image, not to be written to; None where it is not kept."""
        start, channels, height, width = self._table[number].tolist()
        if not start:
            return None
        return self._bytes[start : start + channels * height * width].reshape(channels, height, width)

    def put(self, number: int, pixels: np.ndarray) -> None:
        """Keep an image that is not kept yet, if there is room. Where two processes put the same one, either stays."""
        if not self._lock.acquire(timeout=WAIT_S):
            return
        start, kept = int(self._end[0]), self._table[number, 0]
        fits = not kept and start + pixels.size <= len(self._bytes)
        self._end[0] += pixels.size if fits else 0
        self._lock.release()
        if not fits:
            return
        self._bytes[start : start + pixels.size] = pixels.ravel()
        if self._lock.acquire(timeout=WAIT_S):  # so that nobody sees the row before the pixels
            self._table[number, 1:] = pixels.shape
            self._table[number, 0] = start
            self._lock.release()

    def __reduce__(self) -> tuple:
        return SharedPixels, (len(self), 0)
