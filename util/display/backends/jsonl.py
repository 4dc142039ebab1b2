"""losses.jsonl: one JSON object a line, in full precision, for programs and for the curves of the page."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from util.clock import Clock
from util.display.append_log import AppendLog
from util.display.backends.base import Backend
from util.files import set_aside


class JsonlBackend(Backend):
    """Writes `folder`/losses.jsonl: epoch, iters (images of the epoch), images (of the run), time (seconds
    per image), data (seconds waited for the batch), losses {name: value, null where it is not finite}.

    With `resume`, lines beyond the clock go first; otherwise the file of an earlier run is set aside.
    """

    def __init__(self, folder: Path, *, clock: Clock, resume: bool) -> None:
        path = folder / "losses.jsonl"
        if not resume:
            set_aside(path)
        self._log = AppendLog(path, position=_images, limit=(clock.images,))

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        record = {
            "epoch": clock.epoch,
            "iters": clock.epoch_images,
            "images": clock.images,
            "time": clock.step_s,
            "data": clock.data_s,
            "losses": {
                name: float(value) if math.isfinite(value) else None for name, value in values.items()
            },
        }
        self._log.add(json.dumps(record, ensure_ascii=False, allow_nan=False))

    def close(self) -> None:
        self._log.close()


def _images(line: str) -> tuple[float]:
    try:
        return (json.loads(line)["images"],)
    except (ValueError, KeyError, TypeError):
        return (math.inf,)  # damaged by a power cut: lies beyond every clock, so it goes
