"""The loss line on standard output and, on a terminal with tqdm, a progress bar over the images of the epoch."""

import importlib
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from util import log
from util.clock import Clock
from util.display.backends.base import Backend
from util.display.loss_line import loss_line
from util.run.lifecycle import Run

tqdm: Any = None
with suppress(ImportError):  # an optional package
    tqdm = importlib.import_module("tqdm").tqdm


class ConsoleBackend(Backend):
    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        self._images_per_epoch, self._run = images_per_epoch, run
        self._tqdm: Any = tqdm if sys.stdout.isatty() else None
        self._bar: Any = None

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        log.info(f"{loss_line(values, clock)}| {self._run.progress()}")
        if self._bar is not None:
            losses = " ".join(f"{name} {value:.3g}" for name, value in values.items())
            self._bar.set_postfix_str(losses, refresh=False)

    def step(self, clock: Clock) -> None:
        if self._tqdm is None:
            return
        if self._bar is None:
            self._bar = self._tqdm(
                desc=f"epoch {clock.epoch}/{self._run.last_epoch}",
                total=self._images_per_epoch,
                initial=clock.epoch_images,
                file=sys.stdout,
                leave=False,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}% {bar:16} {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}",
            )
        self._bar.update(clock.epoch_images - self._bar.n)
        if clock.epoch_images >= self._images_per_epoch:
            self.close()  # the message at the end of the epoch then has its own line

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
