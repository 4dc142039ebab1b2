"""Batches for training and testing that depend on the seed, the epoch and the position alone."""

import math
import pickle
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.base_dataset import to_floats
from data.loading.gpu_prefetch import prefetch
from data.loading.items import SeededItems, collate
from data.loading.sampler import EpochSampler
from data.loading.workers import WORKER_HINT, data_loader, start_workers
from util.errors import RunFault, UserError, one_line

Batch = dict[str, Tensor | list[str]]
CPU = torch.device("cpu")


class Loader:
    """Batches of `batch_size` items of a data set for each rank.

    `len()` is the number of images in the set, at most `max_images`. `step_images` is the number of images in a
    step over all ranks, `images_per_epoch` the number in an epoch; `drop_last` omits the images that do not
    fill the last step. Images of a PixelDataset become float32 in [-1, 1], on `device` if that is a GPU.
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
        self.failed = False  # whether the last epoch() ended with an error
        self._sampler = EpochSampler(
            self._count, batch_size, seed=seed, shuffle=shuffle, drop_last=drop_last, rank=rank, world=world
        )
        self.step_images = self._sampler.step_images
        self.images_per_epoch = self._sampler.images_per_epoch
        items = SeededItems(dataset)
        self._has_pixels, self._device = items.has_pixels, device
        self._on_gpu = device.type == "cuda"
        self._torch_loader = data_loader(
            items, self._sampler, num_threads, collate=collate, pin_memory=self._on_gpu
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(1)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch without its first `skip` images, counted over all ranks.

        Raises:
            UserError: an item cannot be read, or `skip` is not a multiple of `step_images`.
            RunFault: the code of the data set failed, or a worker process died.
        """
        self._sampler.start(epoch, skip)
        batches = self._read()
        if self._has_pixels:
            batches = prefetch(batches, self._device) if self._on_gpu else map(to_floats, batches)
        try:
            yield from batches
        except UserError:
            self.failed = True
            raise

    def _read(self) -> Iterator[Batch]:
        """The batches as the workers return them."""
        batches = start_workers(self._torch_loader)
        while True:
            try:
                batch = next(batches, None)
            except (RuntimeError, OSError, EOFError, pickle.PickleError) as error:
                raise RunFault(
                    f"a process that loads data (--num_threads) died ({one_line(error)}); {WORKER_HINT}"
                ) from error
            if batch is None:
                return
            if isinstance(batch, UserError):
                try:
                    raise batch
                finally:
                    del batch  # or the error would refer to this frame, a cycle that keeps the workers alive
            yield batch
