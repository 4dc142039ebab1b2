"""What every way of showing a run has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from util.clock import Clock

if TYPE_CHECKING:
    from torch import Tensor


class Backend:
    """Shows values and images; each backend overrides what it has a place for."""

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        """Losses and other numbers by name."""

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        """label -> (N, C, H, W) in [-1, 1] on the CPU."""

    def step(self, clock: Clock) -> None:
        """Called after every training step; must cost next to nothing."""

    def close(self) -> None:
        """The run is over."""
