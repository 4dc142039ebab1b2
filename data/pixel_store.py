"""Prepared images in one block of memory that forked data workers share, filled as they are first read."""

import mmap
import multiprocessing

import numpy as np

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
        """Keep an image, if there is room. Where two processes put the same one, either stays."""
        with self._lock:
            start = int(self._end[0])
            if start + pixels.size > len(self._bytes):
                return
            self._end[0] += pixels.size
        self._bytes[start : start + pixels.size] = pixels.ravel()
        with self._lock:  # so that nobody sees the row before the pixels
            self._table[number, 1:] = pixels.shape
            self._table[number, 0] = start

    def __reduce__(self) -> tuple:
        return SharedPixels, (len(self), 0)
