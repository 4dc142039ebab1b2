"""Images that are ready to be cropped and flipped, read from the cache where --cache allows it."""

import os
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image
from torch import Tensor

from data.base_dataset import PixelDataset
from data.cache.choose_store import Entries, choose_store
from data.transforms import Preprocess, to_pixels
from util import log


class PreparedImages:
    """The `count` entries of `dataset`, each with `images_per_entry` images of one size, scaled but not cropped.

    `load_entry(number)` returns the stored images of an entry, and `name_of(number)` its name for error messages.
    Without a cache, Pillow crops the image. With a cache, the cached array is cropped. The pixels are the same.

    Raises:
        UserError: --cache memory, and the images do not fit into the memory.
    """

    def __init__(
        self,
        dataset: PixelDataset,
        preprocess: Preprocess,
        load_entry: Callable[[int], list[Image.Image]],
        name_of: Callable[[int], str],
        count: int,
        *,
        images_per_entry: int = 1,
    ) -> None:
        self.preprocess, self.load_entry, self.name_of = preprocess, load_entry, name_of
        self.images_per_entry = images_per_entry
        opt = dataset.opt
        # in a namespace that does not come from the parser, any option may change pixels
        names = getattr(opt, "pixel_options", sorted(vars(opt)))
        values = {name: vars(opt).get(name) for name in names}
        identity = f"{os.path.realpath(opt.dataroot)} {values} {replace(preprocess, flip=True)}"
        entries = Entries(self._prepare_pixels, count, images_per_entry)
        self.store = choose_store(
            cache_mode(dataset), entries, identity=identity, files=dataset.files_to_check
        )

    def crop(self, number: int, rng: random.Random) -> list[Tensor]:
        """The images of an entry, each uint8 (C, H, W), all cropped and flipped alike as drawn from `rng`.

        Raises:
            UserError: an image cannot be read, or is smaller than the crop.
        """
        name = self.name_of(number)
        if self.store is None:
            images = self._prepare(number)
            draw = self.preprocess.draw_prepared(images[0].size, rng)
            return [to_pixels(self.preprocess.finish(image, draw, name=name)) for image in images]
        slots = range(number * self.images_per_entry, (number + 1) * self.images_per_entry)
        arrays = [pixels for slot in slots if (pixels := self.store.get(slot)) is not None]
        if len(arrays) < self.images_per_entry:
            arrays = self._prepare_pixels(number)
            for slot, pixels in zip(slots, arrays, strict=True):
                self.store.put(slot, pixels)
        height, width = arrays[0].shape[1:]
        draw = self.preprocess.draw_prepared((width, height), rng)
        return [self.preprocess.finish_pixels(pixels, draw, name=name) for pixels in arrays]

    def _prepare(self, number: int) -> list[Image.Image]:
        name = self.name_of(number)
        return [self.preprocess.prepare(image, name=name) for image in self.load_entry(number)]

    def _prepare_pixels(self, number: int) -> list[np.ndarray]:
        return [to_pixels(image).numpy() for image in self._prepare(number)]


def cache_mode(dataset: PixelDataset) -> str:
    """The value of --cache that is in effect for `dataset`."""
    opt, cache = dataset.opt, dataset.opt.cache
    if vars(opt).get("load_in_mem"):
        log.warn("--load_in_mem is an old name of --cache memory, which is used instead")
        cache = "memory"
    is_useless = cache == "auto" and not opt.isTrain  # testing reads each image once
    if is_useless or (opt.fast == "off" and cache != "memory"):
        return "off"
    if dataset.cacheable:
        return cache
    if cache in ("memory", "disk"):
        log.warn(f"--cache {cache} has no effect: {type(dataset).__name__} does not set `cacheable = True`")
    return "off"
