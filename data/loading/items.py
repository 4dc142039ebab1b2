"""Reads single items, each with separately seeded random generators, and joins them to batches."""

import random
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate, get_worker_info

from data.base_dataset import PixelDataset, item_rng
from data.loading.sampler import Key
from util.errors import RunFault, UserError, line_of, one_line


class SeededItems(Dataset):
    """The items of a data set by (index, seed). An error is returned, not raised, as a UserError.

    Items of a PixelDataset keep their 8-bit images (`has_pixels`), unless a subclass overrides `__getitem__`.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.has_pixels = type(dataset).__getitem__ is PixelDataset.__getitem__
        self.cacheable = self.has_pixels and dataset.cacheable

    def __getitem__(self, key: Key) -> Any:
        index, seed = key
        try:
            item = self._item(index, seed)
            if not isinstance(item, dict):
                raise TypeError(f"an item must be a dict, not {type(item).__name__}")
            return item
        except Exception as error:
            own_file = getattr(sys.modules[type(self.dataset).__module__], "__file__", None)
            place = line_of(error, lambda path: str(path) == own_file)
            return as_user_error(
                error, f"{place} {type(self.dataset).__name__} failed at index {index}".strip()
            )

    def _item(self, index: int, seed: int) -> Any:
        if self.cacheable:
            # draws the same numbers as the global generators would, without the time to seed those
            return self.dataset.read(index, item_rng(random.Random(seed)))
        with seeded(seed):
            return self.dataset.read(index, item_rng()) if self.has_pixels else self.dataset[index]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global CPU generators of Python, numpy and torch within the context.

    The main process restores them afterwards; in a worker process nothing else uses them.
    """
    states = None if get_worker_info() else (random.getstate(), np.random.get_state(), torch.get_rng_state())
    random.seed(seed)
    np.random.seed((seed & 0xFFFFFFFF, seed >> 32))
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs as well
    try:
        yield
    finally:
        if states:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


def collate(items: list[Any]) -> Any:
    """A batch of the items, or the first error among them."""
    for item in items:
        if isinstance(item, UserError):
            return item
    try:
        return default_collate(items)
    except Exception as error:
        if shapes := _unequal_shapes(items):
            return UserError(
                f"images of one batch differ in size (channels, height, width): {shapes}; "
                "use --batch_size 1, or a --preprocess that crops"
            )
        return as_user_error(error, "the items of a batch do not fit together")


def as_user_error(error: Exception, what_failed: str) -> UserError:
    """A UserError, or RunFault for an error in code, that can be pickled and has the traceback as a note."""
    is_user_error = isinstance(error, UserError)
    kind = UserError if is_user_error and not isinstance(error, RunFault) else RunFault
    result = kind(
        str(error) if is_user_error else f"{what_failed}: {type(error).__name__}: {one_line(error)}"
    )
    result.add_note("".join(traceback.format_exception(error)))
    return result


def _unequal_shapes(items: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """The shapes of the first key whose tensors differ in shape; empty if there is none."""
    for key in items[0]:
        shapes = {tuple(item[key].shape) for item in items if isinstance(item.get(key), Tensor)}
        if len(shapes) > 1:
            return sorted(shapes)
    return []
