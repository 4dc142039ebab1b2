"""--load_in_mem: decoded images in one block of memory, which forked data workers share."""

from array import array
from collections.abc import Callable, Iterable

from PIL import Image

from data.memory import available_bytes
from data.sources import in_order
from util import log
from util.errors import UserError

SAMPLES = 16  # images that the estimate is made from


class HeldImages:
    """Images of one mode as uint8, one behind the other."""

    def __init__(self, images: Iterable[Image.Image]) -> None:
        self._mode = "L"
        self._pixels = bytearray()
        # plain arrays: a list of tuples would be copied to each worker, by the counting of references
        self._starts, self._widths, self._heights = array("q"), array("l"), array("l")
        for image in images:
            self._mode = image.mode
            self._starts.append(len(self._pixels))
            self._widths.append(image.width)
            self._heights.append(image.height)
            self._pixels += image.tobytes()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Image.Image:
        size = self._widths[index], self._heights[index]
        start = self._starts[index]
        end = start + size[0] * size[1] * Image.getmodebands(self._mode)
        return Image.frombytes(self._mode, size, memoryview(self._pixels)[start:end])


def hold(image_of: Callable[[int], Image.Image], count: int, *, threads: int) -> HeldImages:
    """image_of(0) to image_of(count - 1), held.

    Raises:
        UserError: the machine has not as much memory left.
    """
    needed, free = estimate(image_of, count), available_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"--load_in_mem needs about {in_words(needed)} for {count:,} images, and {in_words(free)} of memory are "
            "free: leave the flag out, or take less with --max_dataset_size or a --preprocess that scales, like center"
        )
    log.info(f"holding {count:,} images in memory, about {in_words(needed)}")
    return HeldImages(in_order(image_of, count, threads=threads))


def estimate(image_of: Callable[[int], Image.Image], count: int) -> int:
    """About how many bytes all images take, from some spread over them."""
    some = [image_of(number * count // SAMPLES) for number in range(SAMPLES)]
    return count * sum(len(image.tobytes()) for image in some) // SAMPLES


def in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
