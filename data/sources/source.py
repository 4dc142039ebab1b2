"""Where stored images come from: what data sets of one kind of images are built on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from data.image_folder import check_most
from data.images import open_image

BLOCK = 1024  # images that threads read ahead of the one that is wanted
T = TypeVar("T")


class Source(Protocol):
    """Stored images by number, and the class of each: int64 (N,), or None without classes."""

    labels: np.ndarray | None

    def __len__(self) -> int: ...

    def read(self, index: int) -> Image.Image:
        """The stored image as 8-bit grey, RGB or RGBA."""

    def name(self, index: int) -> str:
        """What errors and results call the image."""


class ImageFiles:
    """A Source of image files, read with `channels` channels."""

    def __init__(self, paths: Sequence[str], *, channels: int, labels: np.ndarray | None = None) -> None:
        self.paths, self.channels, self.labels = paths, channels, labels

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Image.Image:
        return open_image(self.paths[index], self.channels)

    def name(self, index: int) -> str:
        return self.paths[index]


def choose(count: int, labels: np.ndarray | None, most: float) -> np.ndarray:
    """The numbers of the first `most` of `count` images, evenly over the classes where there are any; sorted.

    Raises:
        UserError: none is left.
    """
    check_most(most)
    if most >= count:
        return np.arange(count)
    if labels is None:
        return np.arange(int(most))
    by_class = np.argsort(labels, kind="stable")
    _, first, size = np.unique(labels[by_class], return_index=True, return_counts=True)
    place_in_class = np.empty(count, np.int64)
    place_in_class[by_class] = np.arange(count) - np.repeat(first, size)
    # the first of every class, then the second of every class, and so on
    return np.sort(np.lexsort((labels, place_in_class))[: int(most)])


def in_order(image_of: Callable[[int], T], count: int, *, threads: int) -> Iterator[T]:
    """image_of(0), image_of(1), ... made by several threads; decoders let others run meanwhile."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, count, BLOCK):
            yield from pool.map(image_of, range(start, min(start + BLOCK, count)))
