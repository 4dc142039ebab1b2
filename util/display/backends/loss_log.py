"""loss_log.txt, line by line as the classic repository writes it."""

import time
from collections.abc import Mapping
from pathlib import Path

from util.clock import Clock
from util.display.append_log import AppendLog
from util.display.backends.base import Backend
from util.display.loss_line import line_position, loss_line


class LossLogBackend(Backend):
    """Appends to `folder`/loss_log.txt, with a header at each start.

    With `resume`, the last run's lines beyond the clock go first.
    """

    def __init__(self, folder: Path, *, clock: Clock, resume: bool) -> None:
        limit = (clock.epoch, clock.epoch_images) if resume else None
        self._log = AppendLog(folder / "loss_log.txt", position=line_position, limit=limit)
        self._log.add(f"================ Training Loss ({time.strftime('%c')}) ================")

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        self._log.add(loss_line(values, clock))

    def close(self) -> None:
        self._log.close()
