"""One HDF5 file of square images of one size, in one of two layouts.

scripts/make_hdf5.py: "images" uint8 (N, S, S, C). With labels: "labels" int64 (N,), the attribute n_classes, and
"class_names", the names of the classes in order, which older files lack.
make_hdf5.py of ajbrock's BigGAN: "imgs" uint8 (N, C, S, S) and "labels" int64 (N,), whose largest one counts the classes.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.images import MODES
from data.sources.per_process import OpenPerProcess
from util.cli.packages import require
from util.errors import UserError, one_line
from util.files import open_regular
from util.free_memory import available_bytes, check_fits, in_words

MOST_CLASSES = 100_000
LONGEST_CLASS_NAME = 255  # bytes, as of a folder
MOST_COMPRESSION = 1100  # deflate, the strongest of HDF5's own filters, reaches 1032
LAYOUTS = {
    "images": (0, 1, 2),
    "imgs": (1, 2, 0),
}  # the axes of an image that are its height, width and channels


class Hdf5Images:
    """A Source of images of `side` x `side` pixels and `channels` channels; raises UserError for any other file."""

    def __init__(self, path: str, *, side: int, channels: int) -> None:
        with opened(path) as file:
            self.key, images = images_of(file)
            height, width, depth = (images.shape[1 + axis] for axis in LAYOUTS[self.key])
            if (height, width, depth) != (side, side, channels):
                raise UserError(
                    f"{path} contains images of {width}x{height} pixels and {depth} channels, but --crop_size {side} and "
                    f"--output_nc {channels} need {side}x{side} and {channels}: change the flags, or create the file "
                    f"again with scripts/make_hdf5.py --size {side}"
                )
            self.path, self.count = path, len(images)
            self.labels = labels_of(file)
            self.classes = class_names_of(file)
        # forked processes would share the position in one open file and read garbage
        self.file = OpenPerProcess(partial(open_hdf5, path))

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Image.Image:
        with explained(self.path):
            pixels = self.file()[self.key][index].transpose(LAYOUTS[self.key])
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))

    def name(self, index: int) -> str:
        return f"{Path(self.path).stem}_{index:07d}.png"


class Invalid(Exception):
    """Why a file is not one of images; the message for the user also has its name."""


@contextmanager
def explained(path: str) -> Iterator[None]:
    """A context in which whatever fails means that the file is invalid; raises UserError with its name."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # h5py raises errors of any kind for damaged files
        raise UserError(
            f"{path} is not a valid HDF5 file of images ({one_line(error)}): create it with scripts/make_hdf5.py"
        ) from error


@contextmanager
def opened(path: str) -> Iterator[Any]:
    with explained(path), open_hdf5(path) as file:
        yield file


def open_hdf5(path: str) -> Any:
    """The file, opened for reading."""
    require("h5py", "--dataset_mode hdf5", "--dataset_mode folder")
    import h5py

    open_regular(path).close()  # HDF5 itself would wait for the writer of a FIFO
    return h5py.File(path, "r")


def count_classes(path: str) -> int:
    """The number of classes in the file, 0 without labels."""
    with opened(path) as file:
        return _n_classes(file) if "labels" in file else 0


def images_of(file: Any) -> tuple[str, Any]:
    """The key of the images in LAYOUTS, and their HDF5 dataset."""
    key = next((key for key in LAYOUTS if key in file.keys()), None)  # noqa: SIM118, `in file` follows links
    if key is None:
        raise Invalid(f"it contains neither {' nor '.join(LAYOUTS)}")
    images = _own_dataset(file, key)
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[1 + LAYOUTS[key][2]] not in MODES:
        shape = "(N, C, S, S)" if key == "imgs" else "(N, S, S, C)"
        raise Invalid(f'"{key}" must be uint8 {shape} with C 1, 3 or 4')
    if not len(images):
        raise Invalid("it contains no images")
    check_fits(
        4 * len(images), f"the order of {len(images):,} images in {file.filename}", "use a smaller file"
    )
    return key, images


def labels_of(file: Any) -> np.ndarray | None:
    """The labels, int64 (N,), or None if the file has none."""
    if "labels" not in file:
        return None
    labels, n_classes = _own_labels(file), _n_classes(file)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise Invalid(f'"labels" must be {len(labels)} numbers from 0 to {n_classes - 1}')
    return labels.astype(np.int64)


def class_names_of(file: Any) -> list[str]:
    """The names of the classes in order; empty if the file has none."""
    import h5py

    if "labels" not in file or "class_names" not in file:
        return []
    names, count = _own_dataset(file, "class_names"), _n_classes(file)
    if names.shape != (count,) or h5py.check_string_dtype(names.dtype) is None:
        raise Invalid(f'"class_names" must be {count} names')
    decoded = []
    # one by one: names of any length may share their place in the file, and together exceed the memory
    for number in range(count):
        if len(name := bytes(names[number])) > LONGEST_CLASS_NAME:
            raise Invalid(f'"class_names" must have at most {LONGEST_CLASS_NAME} bytes each')
        decoded.append(name.decode(errors="surrogateescape"))
    if len(set(decoded)) < count or any(re.search(r"^$|[\x00-\x1f\x7f]", name) for name in decoded):
        raise Invalid('"class_names" must be different names without control characters')
    return decoded


def _own_labels(file: Any) -> np.ndarray:
    """The labels as stored, whole numbers (N,)."""
    labels, count = _own_dataset(file, "labels"), len(images_of(file)[1])
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise Invalid(f'"labels" must be {count} whole numbers')
    return labels[()]


def _n_classes(file: Any) -> int:
    if "n_classes" in file.attrs:
        value = file.attrs["n_classes"] if file.attrs.get_id("n_classes").shape == () else None
    elif images_of(file)[0] == "imgs":
        value = _own_labels(file).max() + 1
    else:
        raise Invalid("it has labels but no attribute n_classes")
    if not isinstance(value, int | np.integer) or not 1 <= value <= MOST_CLASSES:
        raise Invalid(f"n_classes must be a whole number from 1 to {MOST_CLASSES:,}")
    return int(value)


def _own_dataset(file: Any, name: str) -> Any:
    """The HDF5 dataset `name`, whose data is in this file and fits into the memory."""
    import h5py

    link = file.get(name, getlink=True)
    found = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset) or found.shape is None or found.external or found.is_virtual:
        raise Invalid(f'"{name}" is not a dataset in this file, but leads elsewhere')
    if found.nbytes > MOST_COMPRESSION * found.id.get_storage_size():
        raise Invalid(f'"{name}" declares {in_words(found.nbytes)}, which the file does not contain')
    chunk, free = math.prod(found.chunks or [0]) * found.dtype.itemsize, available_bytes()
    if free is not None and chunk > free:
        raise Invalid(f'"{name}" has chunks of {in_words(chunk)}, which do not fit into the memory')
    return found
