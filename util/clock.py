"""Time counted in images, so that nothing depends on the batch size."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Clock:
    """Where training stands. `images` counts all images of all ranks since the first epoch.

    `due(freq)` asks whether the last advance() crossed a multiple of `freq`, so that every
    frequency fires, whatever the batch size.
    """

    epoch: int = 1
    epoch_images: int = 0  # images seen in this epoch
    images: int = 0
    step_s: float = 0.0  # seconds per image of the last step
    data_s: float = 0.0  # seconds the last step waited for its batch
    _before: int = 0

    def advance(self, images: int) -> None:
        self._before = self.images
        self.images += images
        self.epoch_images += images

    def due(self, freq: int) -> bool:
        return freq > 0 and self.images // freq > self._before // freq

    def epochs(self, last: int) -> Iterator[int]:
        """The epochs left up to and with `last`; each ends when the loop body does."""
        while self.epoch <= last:
            yield self.epoch
            self.end_epoch()

    def end_epoch(self) -> None:
        self.epoch += 1
        self.epoch_images = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "epoch_images": self.epoch_images, "images": self.images}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.epoch_images = state["epoch"], state["epoch_images"]
        self.images = self._before = state["images"]
