"""Upstream's loss line, written and parsed: `(epoch: 1, iters: 100, time: 0.123, data: 0.002) D_A: 0.456 `."""

import re
from collections.abc import Mapping

from util.clock import Clock

_POSITION = re.compile(r"\(epoch: (\d+), iters: (\d+), ")


def loss_line(values: Mapping[str, float], clock: Clock) -> str:
    """Return the line without its newline, with three decimals and a trailing space, as other scripts parse it.

    iters: images of this epoch; time: seconds per image; data: seconds that the step waited for its batch.
    """
    position = f"(epoch: {clock.epoch}, iters: {clock.epoch_images}, "
    times = f"time: {clock.step_s:.3f}, data: {clock.data_s:.3f}) "
    return position + times + "".join(f"{name}: {value:.3f} " for name, value in values.items())


def line_position(line: str) -> tuple[int, int] | None:
    """Return (epoch, iters) of a loss line, or None for a header."""
    found = _POSITION.match(line)
    return (int(found[1]), int(found[2])) if found else None
