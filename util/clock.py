"""Training progress, counted in images, so that it does not depend on the batch size."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Clock:
    """The position of a run, which counts the images of all ranks."""

    epoch: int = 1
    epoch_images: int = 0  # images of this epoch so far
    images: int = 0  # images of the run so far
    step_s: float = 0.0  # seconds per image of the last step
    data_s: float = 0.0  # seconds that the last step waited for its batch
    _before: int = 0
    _started: float = 0.0
    _measured_from: tuple[float, int] | None = None  # time and images after the first step, which is slower

    @property
    def epochs_begun(self) -> int:
        """The number of epochs of which at least one step is done."""
        return self.epoch if self.epoch_images else self.epoch - 1

    def epochs(self, last: int) -> Iterator[int]:
        """The remaining epochs up to and including `last`; the caller ends each with end_epoch()."""
        while self.epoch <= last:
            yield self.epoch

    def timed(self, batches: Iterator[T]) -> Iterator[T]:
        """Yield the batches and measure the wait for each."""
        waiting_since = time.perf_counter()
        for batch in batches:
            self._started = time.perf_counter()
            self.data_s = self._started - waiting_since
            yield batch
            waiting_since = time.perf_counter()

    def advance(self, images: int) -> None:
        """Count the images of a finished step."""
        now = time.perf_counter()
        self.step_s = (now - self._started) / images
        self._before = self.images
        self.images += images
        self.epoch_images += images
        self._measured_from = self._measured_from or (now, self.images)

    def due(self, freq: int) -> bool:
        """Whether the last advance() passed a multiple of `freq` images."""
        return self.images // freq > self._before // freq

    def was_due_in_epoch(self, freq: int) -> bool:
        """Whether an advance() of this epoch passed a multiple of `freq` images."""
        return self.images // freq > (self.images - self.epoch_images) // freq

    def left_s(self, last_epoch: int, images_per_epoch: int) -> float:
        """The seconds to the end of the last epoch at the mean speed so far, which includes saves; 0 if unknown."""
        start_s, before = self._measured_from or (0.0, self.images)
        if self.images == before:
            return 0.0
        left = (last_epoch - self.epoch + 1) * images_per_epoch - self.epoch_images
        return left * (time.perf_counter() - start_s) / (self.images - before)

    def end_epoch(self) -> None:
        self.epoch += 1
        self.epoch_images = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "epoch_images": self.epoch_images, "images": self.images}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take over a saved position; raises ValueError if it cannot be one."""
        epoch, epoch_images, images = (state[name] for name in ("epoch", "epoch_images", "images"))
        whole = all(type(value) is int for value in (epoch, epoch_images, images))
        if not (whole and epoch >= 0 and 0 <= epoch_images <= images):
            raise ValueError(f"epoch {epoch}, {epoch_images} of {images} images is not a position in a run")
        self.epoch, self.epoch_images = epoch, epoch_images
        self.images = self._before = images
