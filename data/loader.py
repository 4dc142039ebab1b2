"""Batches for training and testing: workers, per-item seeds, exact resume, and errors in one sentence."""

import math
import os
import pickle
import random
import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from data.base_dataset import PixelDataset, floats, item_rng, repeats
from data.loading.gpu_prefetch import Upload, Uploader, ahead
from data.loading.sampler import EpochSampler, Key
from util.cpu_count import START
from util.errors import RunFault, UserError

Batch = dict[str, Tensor | list[str]]
CPU = torch.device("cpu")
WAY_OUT = (
    "if memory or shared memory ran out, lower --num_threads; with 0 the main process reads the data itself"
)


class Loader:
    """Gives a dataset in batches of `batch_size` a rank; which ones, only seed, epoch and position decide.

    `len()` is the number of images in the set, at most `max_images`. `step_images` are the images of a
    step over all ranks, `images_per_epoch` those that an epoch gives: `drop_last` leaves out the rest
    that does not fill a step. The pixels of a PixelDataset come as float32 in [-1, 1], on `device` if it is a GPU.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        num_threads: int = 0,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
        max_images: float = math.inf,
        rank: int = 0,
        world: int = 1,
        device: torch.device = CPU,
    ) -> None:
        self.dataset = dataset
        self._count = int(min(len(dataset), max_images))  # type: ignore[arg-type]
        self._sampler = EpochSampler(
            self._count,
            batch_size,
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            rank=rank,
            world=world,
        )
        self.step_images = self._sampler.step_images
        self.images_per_epoch = self._sampler.images_per_epoch
        items, on_gpu = Items(dataset), device.type == "cuda"
        self._as_pixels = items.as_pixels
        self._uploader = Uploader(device) if on_gpu and items.as_pixels else None
        self._batches = _data_loader(items, self._sampler, num_threads, pin_memory=on_gpu)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(1)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch without its first `skip` images, counted over all ranks.

        Raises:
            UserError: an item could not be read, or `skip` is no multiple of `step_images`.
            RunFault: the dataset's own code failed, or a worker died.
        """
        self._sampler.start(epoch, skip)
        batches = _start_workers(self._batches)
        if self._uploader:
            batches = ahead(batches, self._uploader.begin)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError, pickle.PickleError) as error:
                raise RunFault(f"a data worker died ({_one_line(error)}); {WAY_OUT}") from error
            if isinstance(batch, Failure):
                raise batch.error()
            if isinstance(batch, Upload):
                batch = batch.finish()
            yield floats(batch) if self._as_pixels else batch


@dataclass(frozen=True)
class Failure:
    """An error on its way from a worker to the main process, as plain strings, which always pickle."""

    message: str
    is_fault: bool
    trace: str

    @classmethod
    def of(cls, error: Exception, what: str) -> "Failure":
        known = isinstance(error, UserError)
        message = str(error) if known else f"{what}: {type(error).__name__}: {_one_line(error)}"
        is_fault = not known or isinstance(error, RunFault)
        return cls(message, is_fault, "".join(traceback.format_exception(error)))

    def error(self) -> UserError:
        error = RunFault(self.message) if self.is_fault else UserError(self.message)
        error.add_note(self.trace)  # shown where the traceback is
        return error


class Items(Dataset):
    """Reads items under their own seed; what goes wrong is returned as a Failure.

    Those of a PixelDataset keep their 8 bits (`as_pixels`), unless somebody has written a `__getitem__` over its own.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.as_pixels = type(dataset).__getitem__ is PixelDataset.__getitem__
        self.repeats = self.as_pixels and repeats(dataset)

    def __getitem__(self, key: Key) -> Any:
        index, seed = key
        try:
            item = self._item(index, seed)
            if not isinstance(item, dict):
                raise TypeError(f"an item must be a dict, not {type(item).__name__}")
            return item
        except Exception as error:
            return Failure.of(error, f"{type(self.dataset).__name__} failed at index {index}")

    def _item(self, index: int, seed: int) -> Any:
        if self.repeats:
            # the numbers that the item would get from global generators, which take longer to seed
            return self.dataset.read(index, item_rng(random.Random(seed)))  # type: ignore[attr-defined]
        with seeded(seed):
            return self.dataset.read(index, item_rng()) if self.as_pixels else self.dataset[index]  # type: ignore[attr-defined]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with the global CPU generators of python, numpy and torch seeded.

    In the main process they are restored after it; in a worker nobody else draws from them.
    """
    before = None if get_worker_info() else (random.getstate(), np.random.get_state(), torch.get_rng_state())
    random.seed(seed)
    np.random.seed((seed & 0xFFFFFFFF, seed >> 32))
    torch.default_generator.manual_seed(seed)  # not torch.manual_seed: that would seed the GPUs too
    try:
        yield
    finally:
        if before:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_rng_state(before[2])


def collate(items: list[Any]) -> Any:
    """Items stacked to a batch, or the first Failure among them."""
    for item in items:
        if isinstance(item, Failure):
            return item
    try:
        return default_collate(items)
    except Exception as error:
        sizes = _unequal_sizes(items)
        mistake = UserError(
            f"images of one batch differ in size (channels, height, width): {sizes}; "
            "use --batch_size 1, or a --preprocess that crops"
        )
        return Failure.of(mistake if sizes else error, "the items of a batch do not fit together")


def _unequal_sizes(items: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """The shapes under the first key whose tensors differ in shape; empty if there is none."""
    for key in items[0]:
        shapes = {tuple(item[key].shape) for item in items if isinstance(item.get(key), Tensor)}
        if len(shapes) > 1:
            return sorted(shapes)
    return []


def _data_loader(items: Items, sampler: EpochSampler, num_threads: int, *, pin_memory: bool) -> DataLoader:
    workers = min(num_threads, len(sampler))
    with _many_workers_are_fine():
        return DataLoader(
            items,
            batch_sampler=sampler,
            num_workers=workers,
            multiprocessing_context=START if workers else None,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            collate_fn=collate,
            worker_init_fn=_init_worker,
            # without its own generator a DataLoader takes a number from the global one at each epoch
            generator=torch.Generator(),
        )


@contextmanager
def _many_workers_are_fine() -> Iterator[None]:
    """Keep torch from warning of more workers than cores, which is the person's choice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _init_worker(worker: int) -> None:
    """Leave signals to the main process: it saves first, with the batches it still needs, and ends us then."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C and `timeout` send to the whole process group
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # else a fork keeps the main process's own handler


def _start_workers(loader: DataLoader) -> Iterator[Any]:
    """`iter(loader)` without its SIGCHLD handler, which raises wherever the main process happens to be.

    A dead worker is then noticed where its batch is waited for, within seconds.
    """
    child_signal: int = getattr(signal, "SIGCHLD", 0)  # Windows has none
    before = signal.getsignal(child_signal) if child_signal else None
    try:
        with _many_workers_are_fine():
            batches = iter(loader)
    except Exception as error:
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise RunFault(f"the data workers could not be started ({reason}); {WAY_OUT}") from error
    if before is not None and signal.getsignal(child_signal) is not before:
        signal.signal(child_signal, before)
    return batches


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
