"""loss_log.txt, in the format of upstream (pytorch-CycleGAN-and-pix2pix)."""

import math
import time
from argparse import Namespace
from collections.abc import Mapping

from util.clock import Clock
from util.display.append_log import AppendLog
from util.display.backends.base import Backend
from util.display.loss_line import line_position, loss_line
from util.run.lifecycle import Run


class LossLogBackend(Backend):
    """Appends to loss_log.txt, and writes a header at each start."""

    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        limit = (run.clock.epoch, run.clock.epoch_images) if run.resumed else (math.inf,)
        self._log = AppendLog(run.model.save_dir / "loss_log.txt", line_position, limit)
        self._log.add(f"================ Training Loss ({time.strftime('%c')}) ================")

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        self._log.add(loss_line(values, clock))

    def close(self) -> None:
        self._log.close()
