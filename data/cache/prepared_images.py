"""Images ready to be cropped and flipped, kept ready where there is room: what all data sets of image files read."""

import os
import random
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from data.base_dataset import PixelDataset, repeats
from data.cache.choose_store import Make, Store, choose_store
from data.transforms import Preprocess, to_pixels
from util import log


class Prepared:
    """Entries of `each` images of one size, as `make` gives them: prepared, but not cropped.

    Without a store an entry is made anew each time and cropped by Pillow, the plain way; with one it is
    made when it is not there, and cropped out of the array. The pixels are the same.
    """

    def __init__(self, make: Make, preprocess: Preprocess, *, store: Store | None, each: int = 1) -> None:
        self.make, self.preprocess, self.store, self.each = make, preprocess, store, each

    def cut(self, number: int, rng: random.Random, *, name: str) -> list[Tensor]:
        """Entry `number` as uint8 (C, H, W), each image cropped and flipped alike as drawn from `rng`.

        Raises:
            UserError: an image cannot be read, or is smaller than the crop; `name` is what that is called.
        """
        if self.store is None:
            images = self.make(number)
            draw = self.preprocess.draw_prepared(images[0].size, rng)
            return [to_pixels(self.preprocess.finish(image, draw, name=name)) for image in images]
        arrays = self._kept(self.store, number)
        height, width = arrays[0].shape[1:]
        draw = self.preprocess.draw_prepared((width, height), rng)
        return [self.preprocess.finish_pixels(pixels, draw, name=name) for pixels in arrays]

    def _kept(self, store: Store, number: int) -> list[np.ndarray]:
        places = range(number * self.each, (number + 1) * self.each)
        kept = [pixels for place in places if (pixels := store.get(place)) is not None]
        if len(kept) < self.each:
            kept = [to_pixels(image).numpy() for image in self.make(number)]
            for place, pixels in zip(places, kept, strict=True):
                store.put(place, pixels)
        return kept


def prepared_from(
    dataset: PixelDataset, preprocess: Preprocess, make: Make, count: int, *, each: int = 1
) -> Prepared:
    """`count` entries of `each` images, kept where --cache, --load_in_mem and --fast say if `dataset` repeats.

    Raises:
        UserError: --load_in_mem, and the memory is too small.
    """
    opt = dataset.opt
    cache = _wanted(vars(opt))
    if not repeats(dataset):
        if cache in ("all", "disk"):
            log.warn(
                f"{type(dataset).__name__} does not say `repeats = True`, so its images are not kept, "
                f"in spite of {'--load_in_mem' if cache == 'all' else '--cache disk'}"
            )
        cache = "off"
    # without the parser's list of the flags that change pixels, every option may be one
    names = getattr(opt, "pixel_options", sorted(vars(opt)))
    values = {name: vars(opt).get(name) for name in names}
    identity = f"{os.path.realpath(opt.dataroot)} {values} {replace(preprocess, flip=True)}"
    store = choose_store(cache, make, count, each=each, identity=identity, files=dataset.files_to_check)
    return Prepared(make, preprocess, store=store, each=each)


def _wanted(flags: dict[str, Any]) -> str:
    """What choose_store calls `cache`."""
    if flags.get("load_in_mem"):
        return "all"
    # testing reads each image once
    unwanted = flags["fast"] == "off" or (flags["cache"] == "auto" and not flags["isTrain"])
    return "off" if unwanted else flags["cache"]
