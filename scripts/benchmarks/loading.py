"""Images from files: how many a second one process gives, and what a training loop waits for them."""

from __future__ import annotations

import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from scripts.benchmarks.gauge import Reading
from scripts.benchmarks.measure import Case, timed
from scripts.benchmarks.photos import write_photos
from scripts.benchmarks.setting import Make, Setting, build

SIDE = 256  # of the files, in pixels
STEPS = {"cpu": 5, "cuda": 60}  # of a stretch of training; the first, which fills the queues, does not count


def items_case(words: str, *, count: int, images_an_item: int) -> Make:
    """Each item once, on one thread: decoded, scaled, cropped, flipped, float32 in [-1, 1]."""
    return _reading_case(words, _items, count=count, images_an_item=images_an_item)


def loader_case(words: str, *, count: int, images_an_item: int) -> Make:
    """An epoch of batches, read by the process that asks for them, on one thread."""
    return _reading_case(words, _loader, count=count, images_an_item=images_an_item)


def _reading_case(
    words: str, source: Callable[[Namespace], Callable[[], None]], *, count: int, images_an_item: int
) -> Make:
    """`count` files a folder; B is read in step with A, so that all are kept after one turn."""

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        with tempfile.TemporaryDirectory() as folder, _one_thread():
            write_photos(Path(folder, "data"), count=count, side=SIDE)
            fast, plain = (
                source(_options(setting, f"{words} --num_threads 0 --serial_batches", form, folder))
                for form in (True, False)
            )
            yield Case(
                timed(setting.gauge, fast),
                timed(setting.gauge, plain),
                "plain",
                units=count * images_an_item,
                images=1,
            )

    return make


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def wait_case(words: str) -> Make:
    """What train.py's loop waits for its batches; a time is the wait of one step."""

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        with tempfile.TemporaryDirectory() as folder:
            batch = setting.options(words, fast=True, folder=folder).batch_size
            steps = STEPS[setting.device]
            write_photos(Path(folder, "data"), count=batch * steps, side=SIDE)
            sides = {
                fast: Waiting(_options(setting, words, fast, folder), steps, setting)
                for fast in (True, False)
            }
            yield Case(
                sides[True],
                sides[False],
                "plain",
                note=lambda: f"{sides[True].share:.2%} of a step, plain {sides[False].share:.2%}",
            )

    return make


class Waiting:
    """A stretch of training as train.py does it; a call reads the mean wait for a batch."""

    def __init__(self, opt: Namespace, steps: int, setting: Setting) -> None:
        from data import create_dataset
        from util.clock import Clock

        self.loader, self.model = create_dataset(opt), build(opt)
        self.clock, self.steps, self.setting = Clock(), steps, setting
        self._shares: list[float] = []

    @property
    def share(self) -> float:
        """Of the time of a step, the median over all calls."""
        return statistics.median(self._shares)

    def __call__(self, memory: bool) -> Reading:
        waits: list[float] = []
        for batch in islice(self.clock.timed(self.loader.epoch(1)), self.steps):
            waits.append(self.clock.data_s)
            if len(waits) == 1:
                self.model.optimize_parameters(batch)
                self.setting.gauge.stop()  # what a CUDA device still has to do belongs to no later step
                start = time.perf_counter()
            else:
                self.model.optimize_parameters(batch)
        self.setting.gauge.stop()
        self._shares.append(sum(waits[1:]) / (time.perf_counter() - start))
        return Reading(statistics.mean(waits[1:]))


def _options(setting: Setting, words: str, fast: bool, folder: str) -> Namespace:
    return setting.options(words, fast=fast, folder=folder, dataroot=str(Path(folder, "data")))


def _items(opt: Namespace) -> Callable[[], None]:
    """What reads every item."""
    from data import find_dataset_using_name

    dataset = find_dataset_using_name(opt.dataset_mode)(opt)

    def read() -> None:
        for index in range(len(dataset)):
            dataset[index]

    return read


def _loader(opt: Namespace) -> Callable[[], None]:
    """What reads an epoch of batches."""
    from data import create_dataset

    loader = create_dataset(opt)

    def read() -> None:
        for _ in loader.epoch(1):
            pass

    return read
