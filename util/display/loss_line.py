"""Upstream's loss line, written and parsed: `(epoch: 1, iters: 100, time: 0.123, data: 0.002) D_A: 0.456 `."""

import re
from collections.abc import Mapping

from util.clock import Clock

_POSITION = re.compile(r"\(epoch: (\d+), iters: (\d+), ")


def loss_line(values: Mapping[str, float], clock: Clock) -> str:
    """Return the line without its newline, with the trailing space that scripts for upstream's files expect.

    iters: images of this epoch; time: seconds per image; data: seconds that the step waited for its batch.
    """
    losses = "".join(f"{name}: {value:.3f} " for name, value in values.items())
    return (
        f"(epoch: {clock.epoch}, iters: {clock.epoch_images}, time: {clock.step_s:.3f}, "
        f"data: {clock.data_s:.3f}) {losses}"
    )


def line_position(line: str) -> tuple[int, int] | None:
    """Return (epoch, iters) of a loss line, or None for a header."""
    found = _POSITION.match(line)
    return (int(found[1]), int(found[2])) if found else None
