"""Selects where prepared images are kept: nowhere, in a part of the memory, all in memory, or in a file."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.cache.shared_memory import SharedPixels
from data.sources.source import threaded_map
from util import log
from util.cache_folder import cache_folder
from util.cpu_count import local_world_size, usable_cores
from util.errors import UserError
from util.free_memory import available_bytes, in_words, share_of_memory

SAMPLES = 16  # entries that are prepared to estimate the size of all
MARGIN = 2**20  # bytes reserved beyond twice the estimate, which is rough for a few small images


class ImageStore(Protocol):
    """Keeps uint8 arrays (C, H, W) by number."""

    def get(self, number: int) -> np.ndarray | None: ...

    def put(self, number: int, pixels: np.ndarray) -> None: ...


@dataclass(frozen=True)
class Entries:
    """The images to keep: `count` entries of `images_per_entry` images, uint8 (C, H, W), from `prepare(number)`."""

    prepare: Callable[[int], list[np.ndarray]]
    count: int
    images_per_entry: int

    def prepare_valid(self, number: int) -> list[np.ndarray]:
        """An entry; empty if a file is broken, which training reports when it uses the entry."""
        try:
            return self.prepare(number)
        except UserError:
            return []

    def estimate(self) -> int:
        """About how many bytes all entries take, extrapolated from a few of them."""
        sample = [self.prepare_valid(number * self.count // SAMPLES) for number in range(SAMPLES)]
        return self.count * sum(pixels.size for entry in sample for pixels in entry) // SAMPLES


def choose_store(
    cache: str, entries: Entries, *, identity: str, files: Callable[[], Sequence[str]]
) -> ImageStore | None:
    """The store of --cache `cache`; None if nothing is kept.

    A file on disk remains valid as long as `identity` and `files()` do not change. If it cannot be written, or if
    the images do not come from files, the memory is used as with --cache auto.

    Raises:
        UserError: --cache memory, and the images do not fit.
    """
    if cache == "off":
        return None
    if cache == "memory":
        return _all_in_memory(entries)
    if cache == "disk":
        try:
            return _on_disk(entries, identity, files())
        except (OSError, UserError, ImportError) as error:  # ImportError: Windows has no fcntl
            log.warn(
                f"--cache disk cannot be used ({error}); images are kept in memory instead, as with --cache auto"
            )
    with suppress(OSError):
        return SharedPixels(entries.count * entries.images_per_entry, share_of_memory())
    return None


def _all_in_memory(entries: Entries) -> ImageStore:
    needed, available = entries.estimate(), available_bytes()
    free = sys.maxsize if available is None else available // local_world_size()
    try:
        if needed > free:
            raise MemoryError(f"each process has {in_words(free)} of free memory")
        store = SharedPixels(entries.count * entries.images_per_entry, min(2 * needed + MARGIN, free))
    except (MemoryError, OSError) as error:
        raise UserError(
            f"--cache memory needs about {in_words(needed)} for {entries.count:,} images ({error}): use --cache auto, "
            "a smaller --max_dataset_size, or a --preprocess that scales images, such as center"
        ) from error
    log.info(
        f"--cache memory keeps all {entries.count:,} images, about {in_words(needed)}, after they are read once"
    )
    return store


def _on_disk(entries: Entries, identity: str, files: Sequence[str]) -> ImageStore:
    if not files:
        raise UserError("this data set does not consist of image files")
    from data.cache.disk_file import cached_file, fingerprint_of

    path = cache_folder("pixels", hashlib.blake2b(os.fsencode(identity), digest_size=16).hexdigest())

    def images() -> Iterator[np.ndarray | None]:
        needed, free = entries.estimate(), shutil.disk_usage(path.parent).free
        if needed > free:
            raise UserError(
                f"{path.parent} has {in_words(free)} free, but about {in_words(needed)} are needed"
            )
        for entry in threaded_map(entries.prepare_valid, entries.count, threads=usable_cores()):
            for index in range(entries.images_per_entry):
                yield entry[index] if entry else None

    count = entries.count * entries.images_per_entry
    return cached_file(path, images, count, fingerprint=fingerprint_of(identity, files))
