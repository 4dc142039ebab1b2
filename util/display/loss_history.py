"""The values a run has shown so far, in bounded memory, for drawing curves."""

import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

MOST_BYTES = 8_000_000  # of a losses.jsonl that are read: some 25,000 records
STRETCHES = 1000


class Series:
    """Points (x, y) of one value that are finite; beyond `most` points, neighbours are merged.

    A kept point is the mean of those it stands for, with the least and the most of them, so that a spike
    outlives all merging.
    """

    def __init__(self, most: int = 2000) -> None:
        self.xs, self.ys, self.lows, self.highs = (array("d") for _ in range(4))
        self.last = float("nan")
        self._most = most
        self._stride = 1  # how many added points make one kept point
        self._open_next()

    def _open_next(self) -> None:
        self._count, self._sum_x, self._sum_y = 0, 0.0, 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, x: float, y: float) -> None:
        self.last = y
        if not math.isfinite(y):
            return
        self._count, self._sum_x, self._sum_y = self._count + 1, self._sum_x + x, self._sum_y + y
        self._low, self._high = min(self._low, y), max(self._high, y)
        if self._count == self._stride:
            self._keep()

    def _keep(self) -> None:
        self.xs.append(self._sum_x / self._stride)
        self.ys.append(self._sum_y / self._stride)
        self.lows.append(self._low)
        self.highs.append(self._high)
        self._open_next()
        if len(self.xs) >= self._most:
            self.xs, self.ys = _merged(self.xs, _mean), _merged(self.ys, _mean)
            self.lows, self.highs = _merged(self.lows, min), _merged(self.highs, max)
            self._stride *= 2


def _merged(values: array, merge: Callable[[float, float], float]) -> array:
    return array("d", map(merge, values[::2], values[1::2]))


def _mean(a: float, b: float) -> float:
    return (a + b) / 2


class History:
    """name -> Series over the images seen."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}

    def add(self, images: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.series.setdefault(name, Series()).add(images, value)

    def read(self, path: Path, *, up_to: int) -> None:
        """Add the records of a losses.jsonl up to `up_to` images; no file or a half line is no matter."""
        if not path.exists():
            return
        for line in _lines(path):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["images"] <= up_to:
                known = {name: value for name, value in record["losses"].items() if value is not None}
                self.add(record["images"], known)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, of a large one those of stretches spread evenly over it, the end among them.

    So a run of many weeks is gone on with as soon as one of a day, and its curves look the same.
    """
    size, stretch = path.stat().st_size, MOST_BYTES // STRETCHES
    with path.open("rb") as file:
        if size <= MOST_BYTES:
            yield from file
            return
        for number in range(STRETCHES):
            start = number * (size - stretch) // (STRETCHES - 1)
            if start > file.tell():  # else the stretch before has reached into this one
                file.seek(start)
                file.readline()  # it began before
            yield from file.readlines(stretch)
