"""The interface of a display backend."""

from argparse import Namespace
from collections.abc import Mapping

from torch import Tensor

from util.clock import Clock
from util.run.lifecycle import Run


class Backend:
    """Shows values and images. A backend overrides the methods that it needs."""

    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        """Read the options that the backend needs; `run` gives the folder, the clock and `resumed`."""

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        """Show losses and other numbers by name."""

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        """Show label -> (N, C, H, W) in [-1, 1] on the CPU."""

    def step(self, clock: Clock) -> None:
        """Called after every training step, so it must be fast."""

    def close(self) -> None:
        """Called once at the end of the run."""
