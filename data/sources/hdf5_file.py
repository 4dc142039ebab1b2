"""One HDF5 file of square images of one size: "images" uint8 (N, S, S, C), maybe "labels" int64 (N,).

The attribute n_classes of the file says how many classes the labels tell apart.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.images import MODES
from data.sources.per_process import PerProcess
from util.cli.packages import require
from util.errors import UserError


class Hdf5Images:
    """A Source of images of `side` x `side` pixels and `channels` channels.

    Raises:
        UserError: the file is no such file, or holds images of another kind.
    """

    def __init__(self, path: str, *, side: int, channels: int) -> None:
        with open_hdf5(path) as file:
            count, height, width, depth = images_of(file, path).shape
            if (height, width, depth) != (side, side, channels):
                raise UserError(
                    f"{path} holds images of {width}x{height} pixels and {depth} channels, not of {side}x{side} "
                    f"(--crop_size) and {channels} (--output_nc): change the flags, or make the file anew with "
                    f"scripts/make_hdf5.py --size {side}"
                )
            self.labels = labels_of(file, path, count)
        self.path, self.count = path, count
        # HDF5 would let a fork share its place in the file with us, and both read rubbish
        self.file = PerProcess(partial(open_hdf5, path))

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Image.Image:
        pixels = self.file()["images"][index]
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)

    def name(self, index: int) -> str:
        return f"{Path(self.path).stem}_{index:07d}.png"


def count_classes(path: str) -> int:
    """How many classes the labels in the file tell apart; 0 without labels."""
    with open_hdf5(path) as file:
        return _n_classes(file, path) if "labels" in file else 0


def open_hdf5(path: str) -> Any:
    """The file, open for reading."""
    require("h5py", "--dataset_mode hdf5", "--dataset_mode folder")
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened as an HDF5 file ({' '.join(str(error).split())}): --dataroot names the file "
            "itself, which scripts/make_hdf5.py makes"
        ) from error


def images_of(file: Any, path: str) -> Any:
    """The dataset "images", known to be uint8 (N, S, S, C)."""
    images = file.get("images")
    if getattr(images, "ndim", 0) != 4 or images.dtype != np.uint8 or images.shape[3] not in MODES:
        raise UserError(
            f'{path} must hold "images", uint8 (N, S, S, C) with C 1, 3 or 4: make it with scripts/make_hdf5.py'
        )
    if not len(images):
        raise UserError(f"{path} holds no image: make it with scripts/make_hdf5.py")
    return images


def labels_of(file: Any, path: str, count: int) -> np.ndarray | None:
    """The labels, int64 (N,), known to be classes; None where the file has none."""
    if "labels" not in file:
        return None
    labels, n_classes = np.asarray(file["labels"]), _n_classes(file, path)
    whole = np.issubdtype(labels.dtype, np.integer)
    if labels.shape != (count,) or not whole or labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(
            f'"labels" in {path} must be {count} numbers from 0 to {n_classes - 1}, one for each image: make the file '
            "with scripts/make_hdf5.py"
        )
    return labels.astype(np.int64)


def _n_classes(file: Any, path: str) -> int:
    if "n_classes" not in file.attrs:
        raise UserError(f"{path} has labels but no attribute n_classes: make it with scripts/make_hdf5.py")
    return int(file.attrs["n_classes"])
