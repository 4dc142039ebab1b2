"""Sources of stored images by number, on which data sets of single images are built."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from data.image_folder import check_max_size
from data.images import open_image

BLOCK = 1024  # images that threads read ahead
T = TypeVar("T")


class Source(Protocol):
    """Stored images by number, and their classes."""

    labels: np.ndarray | None  # int64 (N,); None without classes

    @property
    def classes(self) -> Sequence[str]:
        """Their names in order; empty if they have none."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Image.Image:
        """The stored image as 8-bit grey, RGB or RGBA."""

    def name(self, index: int) -> str:
        """The name of the image in errors and results."""


class ImageFiles:
    """A Source of image files that are read with `channels` channels."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        channels: int,
        labels: np.ndarray | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self.paths, self.channels, self.labels, self.classes = paths, channels, labels, classes

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Image.Image:
        return open_image(self.paths[index], self.channels)

    def name(self, index: int) -> str:
        return self.paths[index]


def select_indices(count: int, labels: np.ndarray | None, max_size: float) -> np.ndarray:
    """The sorted indices of the first `max_size` (1 or more) of `count` images, evenly from all classes of `labels`."""
    check_max_size(max_size)
    if max_size >= count:
        return np.arange(count)
    if labels is None:
        return np.arange(int(max_size))
    by_class = np.argsort(labels, kind="stable")
    _, first, size = np.unique(labels[by_class], return_index=True, return_counts=True)
    position_in_class = np.arange(count) - np.repeat(first, size)
    # the first image of each class, then the second of each class, and so on
    order = by_class[np.argsort(position_in_class, kind="stable")]
    return np.sort(order[: int(max_size)])


def threaded_map(function: Callable[[int], T], count: int, *, threads: int) -> Iterator[T]:
    """function(0), ..., function(count - 1) in order, computed by several threads, as image decoders allow."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, count, BLOCK):
            yield from pool.map(function, range(start, min(start + BLOCK, count)))
