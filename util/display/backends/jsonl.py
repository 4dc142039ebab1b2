"""losses.jsonl: one JSON object per line, in full precision, for programs and for the curves of the page."""

import json
import math
from argparse import Namespace
from collections.abc import Mapping
from datetime import datetime

from util.clock import Clock
from util.display.append_log import AppendLog
from util.display.backends.base import Backend
from util.files import set_aside
from util.pages.loss_history import FOREIGN
from util.run.lifecycle import Run


class JsonlBackend(Backend):
    """Appends to losses.jsonl; a new run renames the file of an earlier run.

    iters: images of the epoch so far; images: images of the run so far; time: seconds per image; data: seconds
    waited for the batch; at: the wall-clock time; lr: the learning rate of each phase. A loss that is not finite is
    null.
    """

    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        path = run.model.save_dir / "losses.jsonl"
        self._rates = run.model.learning_rates
        if not run.resumed:
            set_aside(path)
        self._log = AppendLog(path, _images, (run.clock.images,))

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        losses = {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
        record = {
            "epoch": clock.epoch,
            "iters": clock.epoch_images,
            "images": clock.images,
            "time": clock.step_s,
            "data": clock.data_s,
            "at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "lr": self._rates(),
            "losses": losses,
        }
        self._log.add(json.dumps(record, ensure_ascii=False, allow_nan=False))

    def close(self) -> None:
        self._log.close()


def _images(line: str) -> tuple[float]:
    try:
        return (float(json.loads(line)["images"]),)
    except FOREIGN:
        return (math.inf,)  # a damaged line counts as later than every clock, so it is removed
