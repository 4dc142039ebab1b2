"""The progress of a command: a bar with the remaining time in a terminal, and otherwise a line now and then."""

import importlib
import sys
import time
from contextlib import suppress
from typing import Any, Self

from util import log

LINE_S = 10.0  # seconds between lines where there is no terminal

tqdm: Any = None
with suppress(ImportError):  # an optional package
    tqdm = importlib.import_module("tqdm").tqdm


class Progress:
    """Counts `total` images; update() shows how many are done and about how long the rest takes."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start_s = self._shown_s = time.monotonic()
        self._bar = None
        if tqdm is not None and sys.stdout.isatty():
            bar_format = "{percentage:3.0f}% {bar:24} {n_fmt}/{total_fmt} images, {remaining} left"
            self._bar = tqdm(
                total=total, file=sys.stdout, leave=False, dynamic_ncols=True, bar_format=bar_format
            )

    def update(self, images: int) -> None:
        """Count further images."""
        self._done += images
        if self._bar is not None:
            self._bar.update(images)
            return
        now_s = time.monotonic()
        if now_s - self._shown_s >= LINE_S and self._done < self._total:
            self._shown_s = now_s
            left_s = (now_s - self._start_s) / self._done * (self._total - self._done)
            log.info(f"{self._done} of {self._total} images, about {_duration(left_s)} left")

    def info(self, message: str) -> None:
        """Print a line, in a terminal above the bar."""
        if self._bar is not None:
            self._bar.write(message, file=sys.stdout)
        else:
            log.info(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    """75 -> 1:15, 4000 -> 1:06:40."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
