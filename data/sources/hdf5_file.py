"""One HDF5 file of square images of one size: "images" uint8 (N, S, S, C), optionally "labels" int64 (N,).

The attribute n_classes of a file with labels is the number of classes.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.images import MODES
from data.sources.per_process import OpenPerProcess
from util.cli.packages import require
from util.errors import UserError

MOST_CLASSES = 1_000_000


class Hdf5Images:
    """A Source of images of `side` x `side` pixels and `channels` channels; raises UserError for any other file."""

    def __init__(self, path: str, *, side: int, channels: int) -> None:
        with open_hdf5(path) as file:
            count, height, width, depth = images_of(file, path).shape
            if (height, width, depth) != (side, side, channels):
                raise UserError(
                    f"{path} contains images of {width}x{height} pixels and {depth} channels, but --crop_size {side} and "
                    f"--output_nc {channels} need {side}x{side} and {channels}: change the flags, or create the file "
                    f"again with scripts/make_hdf5.py --size {side}"
                )
            self.labels = labels_of(file, path, count)
        self.path, self.count = path, count
        # forked processes would share the position in one open file and read garbage
        self.file = OpenPerProcess(partial(open_hdf5, path))

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Image.Image:
        pixels = self.file()["images"][index]
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)

    def name(self, index: int) -> str:
        return f"{Path(self.path).stem}_{index:07d}.png"


def count_classes(path: str) -> int:
    """The number of classes in the file, 0 without labels."""
    with open_hdf5(path) as file:
        return _n_classes(file, path) if "labels" in file else 0


def open_hdf5(path: str) -> Any:
    """The file, opened for reading."""
    require("h5py", "--dataset_mode hdf5", "--dataset_mode folder")
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _invalid(path, f"it cannot be opened as HDF5 ({' '.join(str(error).split())})") from error


def images_of(file: Any, path: str) -> Any:
    """The HDF5 dataset "images", uint8 (N, S, S, C)."""
    images = _own_dataset(file, path, "images")
    if getattr(images, "ndim", 0) != 4 or images.dtype != np.uint8 or images.shape[3] not in MODES:
        raise _invalid(path, '"images" must be uint8 (N, S, S, C) with C 1, 3 or 4')
    if not len(images):
        raise _invalid(path, "it contains no images")
    return images


def labels_of(file: Any, path: str, count: int) -> np.ndarray | None:
    """The labels, int64 (N,), or None if the file has none."""
    if "labels" not in file:
        return None
    labels, n_classes = np.asarray(_own_dataset(file, path, "labels")), _n_classes(file, path)
    is_whole = np.issubdtype(labels.dtype, np.integer)
    if labels.shape != (count,) or not is_whole or labels.min() < 0 or labels.max() >= n_classes:
        raise _invalid(path, f'"labels" must be {count} whole numbers from 0 to {n_classes - 1}')
    return labels.astype(np.int64)


def _n_classes(file: Any, path: str) -> int:
    if "n_classes" not in file.attrs:
        raise _invalid(path, "it has labels but no attribute n_classes")
    value = file.attrs["n_classes"]
    if not isinstance(value, int | np.integer) or not 1 <= value <= MOST_CLASSES:
        raise _invalid(path, f"n_classes must be a whole number from 1 to {MOST_CLASSES:,}")
    return int(value)


def _own_dataset(file: Any, path: str, name: str) -> Any:
    """The HDF5 dataset `name`, None if there is none; raises UserError if its data is in another file."""
    import h5py

    link = file.get(name, getlink=True) if name in file.keys() else None  # noqa: SIM118, `in file` follows links
    if link is None:
        return None
    found = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise _invalid(path, f'"{name}" is not a dataset in this file, but leads elsewhere')
    return found


def _invalid(path: str, problem: str) -> UserError:
    return UserError(
        f"{path} is not a valid HDF5 file of images ({problem}): create it with scripts/make_hdf5.py"
    )
