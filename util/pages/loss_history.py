"""The losses of a run so far, in bounded memory."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from statistics import fmean
from typing import Self

from util.run.lifecycle import Run

MAX_BYTES = 8_000_000  # about 25,000 lines; of a larger losses.jsonl only every n-th line is read
MAX_LINE = 1 << 16  # bytes; a longer line is damaged
# what a line that another program has written may raise: other values, huge numbers, thousands of levels
FOREIGN = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
Point = tuple[float, float, float, float]  # x, mean, minimum, maximum


class Series:
    """The finite values of one loss as at most `max_points` points.

    When the limit is reached, neighbouring points are merged in pairs. A point keeps the minimum and the maximum of
    its values, so a spike stays visible.
    """

    def __init__(self, max_points: int = 2000) -> None:
        self.points: list[Point] = []
        self.last = math.nan
        self._max_points = max_points
        self._stride = 1  # the number of values in a point
        self._pending: list[Point] = []  # values of the next point

    def add(self, x: float, y: float) -> None:
        self.last = y
        if not math.isfinite(y):
            return
        self._pending.append((x, y, y, y))
        if len(self._pending) == self._stride:
            self.points.append(_merge(self._pending))
            self._pending = []
            if len(self.points) >= self._max_points:
                self.points = list(map(_merge, zip(self.points[::2], self.points[1::2], strict=False)))
                self._stride *= 2


def _merge(points: Sequence[Point]) -> Point:
    xs, means, lows, highs = zip(*points, strict=True)
    return fmean(xs), fmean(means), min(lows), max(highs)


class History:
    """Loss name -> Series over the number of images seen."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}

    @classmethod
    def of_run(cls, run: Run) -> Self:
        """Read losses.jsonl up to the clock of a resumed run; skip damaged lines. Empty for a new run."""
        history, path = cls(), run.model.save_dir / "losses.jsonl"
        if not run.resumed or not path.exists():
            return history
        step = path.stat().st_size // MAX_BYTES + 1
        with path.open("rb") as file:
            lines = iter(partial(file.readline, MAX_LINE), b"")
            for line in islice(lines, 0, None, step):
                with suppress(*FOREIGN):
                    record = json.loads(line)
                    losses = {name: float(y) for name, y in record["losses"].items() if y is not None}
                    if int(record["images"]) <= run.clock.images:
                        history.add(int(record["images"]), losses)
        return history

    def add(self, images: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.series.setdefault(name, Series()).add(images, value)
