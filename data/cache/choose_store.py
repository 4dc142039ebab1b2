"""Selects where prepared images are kept: nowhere, in a part of the memory, all in memory, or in a file."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import numpy as np

from data.cache.free_memory import available_bytes, share_of_memory
from data.cache.shared_memory import SharedPixels
from data.sources.source import threaded_map
from util import log
from util.cpu_count import local_world_size, usable_cores
from util.errors import UserError

SAMPLES = 16  # entries that are prepared to estimate the size of all
MARGIN = 2**20  # bytes reserved beyond twice the estimate, which is rough for a few small images
Prepare = Callable[[int], list[np.ndarray]]  # number of an entry -> its images, uint8 (C, H, W)


class ImageStore(Protocol):
    """Keeps uint8 arrays (C, H, W) by number."""

    def get(self, number: int) -> np.ndarray | None: ...

    def put(self, number: int, pixels: np.ndarray) -> None: ...


def choose_store(
    cache: str,
    prepare: Prepare,
    count: int,
    *,
    images_per_entry: int,
    identity: str,
    files: Callable[[], Sequence[str]],
) -> ImageStore | None:
    """The store of --cache `cache` for `count` entries; None if nothing is kept.

    A file on disk remains valid as long as `identity` and `files()` do not change. If it cannot be written, or if
    the images do not come from files, the memory is used as with --cache auto.

    Raises:
        UserError: --cache memory, and the images do not fit.
    """
    if cache == "off":
        return None
    if cache == "memory":
        return _all_in_memory(prepare, count, images_per_entry)
    if cache == "disk":
        try:
            return _on_disk(prepare, count, images_per_entry, identity, files())
        except (OSError, UserError, ImportError) as error:  # ImportError: Windows has no fcntl
            log.warn(f"--cache disk is not possible: {error}; the memory is used as with --cache auto")
    with suppress(OSError):
        return SharedPixels(count * images_per_entry, share_of_memory())
    return None


def _all_in_memory(prepare: Prepare, count: int, images_per_entry: int) -> ImageStore:
    needed, available = estimate(prepare, count), available_bytes()
    capacity = 2 * needed + MARGIN
    if available is not None:
        free = available // local_world_size()
        if needed > free:
            raise _too_large(count, needed, f"each process has {in_words(free)} of free memory")
        capacity = min(capacity, free)
    try:
        store = SharedPixels(count * images_per_entry, capacity)
    except OSError as error:
        raise _too_large(count, needed, f"the system refuses it ({error.strerror})") from error
    log.info(f"--cache memory: up to {count:,} images, about {in_words(needed)}, are kept once they are read")
    return store


def _too_large(count: int, needed: int, reason: str) -> UserError:
    return UserError(
        f"--cache memory needs about {in_words(needed)} for {count:,} images, but {reason}: use --cache auto, "
        "a smaller --max_dataset_size, or a --preprocess that scales images, such as center"
    )


def _on_disk(
    prepare: Prepare, count: int, images_per_entry: int, identity: str, files: Sequence[str]
) -> ImageStore:
    if not files:
        raise UserError("this data set does not consist of image files")
    from data.cache.disk_file import cached_file, fingerprint_of, pixels_folder

    def images() -> Iterator[np.ndarray | None]:
        needed, folder = estimate(prepare, count), pixels_folder()
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise UserError(f"{folder} has {in_words(free)} free, but about {in_words(needed)} are needed")
        for entry in threaded_map(partial(_valid, prepare), count, threads=usable_cores()):
            yield from entry or [None] * images_per_entry

    name = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
    return cached_file(
        images, count * images_per_entry, name=name, fingerprint=fingerprint_of(identity, files)
    )


def _valid(prepare: Prepare, number: int) -> list[np.ndarray]:
    """The images of an entry; none if a file is broken, which is reported when the entry is used in training."""
    try:
        return prepare(number)
    except UserError:
        return []


def estimate(prepare: Prepare, count: int) -> int:
    """About how many bytes all entries take, extrapolated from a few of them."""
    sample = [_valid(prepare, number * count // SAMPLES) for number in range(SAMPLES)]
    return count * sum(pixels.size for entry in sample for pixels in entry) // SAMPLES


def in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
