"""Where prepared images are kept: nowhere, in a part of the memory, in all of it, or in a file on disk."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import numpy as np
from PIL import Image

from data.cache.free_memory import available_bytes, share_of_memory
from data.cache.shared_memory import SharedPixels
from data.sources.source import in_order
from data.transforms import to_pixels
from util import log
from util.cpu_count import cores, processes_here
from util.errors import UserError

SAMPLES = 16  # entries that the estimate is made from
SPARE = 2**20  # bytes beyond twice the estimate of few and small images
Make = Callable[[int], Sequence[Image.Image]]  # the number of an entry -> its images, prepared


class Store(Protocol):
    """Keeps uint8 arrays (C, H, W) by number."""

    def get(self, number: int) -> np.ndarray | None: ...

    def put(self, number: int, pixels: np.ndarray) -> None: ...


def choose_store(
    cache: str, make: Make, count: int, *, each: int, identity: str, files: Callable[[], Sequence[str]]
) -> Store | None:
    """Where `count` entries of `each` images are kept.

    `cache` is off; auto, what fits in a share of the memory; all, in memory in any case; or disk, in a file
    that stays good as long as `identity` and `files()` do not change; images that are not files are then
    kept in memory.

    Raises:
        UserError: all, and this process may not take as much memory.
    """
    if cache == "off":
        return None
    if cache == "all":
        return _all_in_memory(make, count, each)
    if cache == "disk":
        try:
            return _on_disk(make, count, each, identity, files())
        except (OSError, UserError, ImportError) as error:  # Windows has no module for locks
            log.warn(f"--cache disk: {error}; the images are kept in memory as far as they fit")
    with suppress(OSError):
        return SharedPixels(count * each, share_of_memory())
    return None


def _all_in_memory(make: Make, count: int, each: int) -> Store:
    needed, available = estimate(make, count), available_bytes()
    room = 2 * needed + SPARE
    if available is not None:
        free = available // processes_here()
        if needed > free:
            raise _too_little(count, needed, f"{in_words(free)} of memory are free for each process")
        room = min(room, free)
    try:
        store = SharedPixels(count * each, room)
    except OSError as error:
        raise _too_little(count, needed, f"the system refuses it ({error.strerror})") from error
    log.info(f"up to {count:,} images will be held in memory once they are read, about {in_words(needed)}")
    return store


def _too_little(count: int, needed: int, why: str) -> UserError:
    return UserError(
        f"--load_in_mem needs about {in_words(needed)} for {count:,} images, and {why}: "
        "leave the flag out, or take less with --max_dataset_size or a --preprocess that scales, like center"
    )


def _on_disk(make: Make, count: int, each: int, identity: str, files: Sequence[str]) -> Store:
    if not files:
        raise UserError("this data set is not made of image files")
    from data.cache.disk_file import fingerprint_of, kept_file, pixels_folder

    def images() -> Iterator[np.ndarray | None]:
        needed, folder = estimate(make, count), pixels_folder()
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise UserError(f"{folder} has {in_words(free)} left, and about {in_words(needed)} are needed")
        for arrays in in_order(partial(_arrays, make, each), count, threads=cores()):
            yield from arrays

    name = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
    return kept_file(images, count * each, name=name, fingerprint=fingerprint_of(identity, files))


def _arrays(make: Make, each: int, number: int) -> list[np.ndarray] | list[None]:
    """The arrays of an entry; None for a broken one, which is told when its turn comes to be trained on."""
    try:
        return [to_pixels(image).numpy() for image in make(number)]
    except UserError:
        return [None] * each


def estimate(make: Make, count: int) -> int:
    """About how many bytes all entries take, from some spread over them; a broken one takes none."""
    some = [_arrays(make, 1, number * count // SAMPLES) for number in range(SAMPLES)]
    return count * sum(pixels.size for arrays in some for pixels in arrays if pixels is not None) // SAMPLES


def in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
