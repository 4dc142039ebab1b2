"""The values a run has shown so far, in bounded memory, for drawing curves."""

import json
from collections.abc import Mapping
from pathlib import Path


class Series:
    """Points (x, y) of one value; beyond `most` points, neighbours are merged into their mean."""

    def __init__(self, most: int = 2000) -> None:
        self.xs: list[float] = []
        self.ys: list[float] = []
        self.last = float("nan")
        self._most = most
        self._stride = 1  # how many added points make one kept point
        self._open: list[tuple[float, float]] = []

    def add(self, x: float, y: float) -> None:
        self.last = y
        self._open.append((x, y))
        if len(self._open) < self._stride:
            return
        self.xs.append(sum(point[0] for point in self._open) / self._stride)
        self.ys.append(sum(point[1] for point in self._open) / self._stride)
        self._open.clear()
        if len(self.xs) >= self._most:
            self.xs, self.ys = _halved(self.xs), _halved(self.ys)
            self._stride *= 2


def _halved(values: list[float]) -> list[float]:
    return [(a + b) / 2 for a, b in zip(values[::2], values[1::2], strict=False)]


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
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if record["images"] <= up_to:
                    known = {name: value for name, value in record["losses"].items() if value is not None}
                    self.add(record["images"], known)
