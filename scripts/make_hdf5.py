"""Joins a folder of images to one HDF5 file for --dataset_mode hdf5, each scaled to the same square.

    python scripts/make_hdf5.py --dataroot datasets/flowers --out flowers64.h5 --size 64 --labeled

`--preprocess center` takes the central square of each image, `long_edge` one that a seed places along the longer
side, `resize` squeezes the whole. With --labeled each folder is a class, as in --dataset_mode labeled.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.image_folder import make_dataset
from data.listing.class_folders import class_names, labels_of, phase_folder
from data.sources.source import ImageFiles, threaded_map
from data.transforms import Preprocess
from util.cli.arguments import Arguments
from util.cli.packages import require
from util.errors import UserError, run
from util.files import cannot_write, make_folder
from util.log import info

TELL_EVERY_S = 10.0


def make(out: Path, source: ImageFiles, preprocess: Preprocess, *, n_classes: int, threads: int) -> None:
    """Write every image of `source`, and its label, into `out`; a kill leaves the old file or none.

    Raises:
        UserError: an image cannot be read.
        RunFault: the disk refuses.
    """
    side = preprocess.crop_size
    with draft_of(out) as file:
        images = file.create_dataset(
            "images",
            (len(source), side, side, source.channels),
            np.uint8,
            chunks=(1, side, side, source.channels),
        )
        if source.labels is not None:
            file.create_dataset("labels", data=source.labels)
            file.attrs["n_classes"] = n_classes
        write_images(images, threaded_map(square(source, preprocess), len(source), threads=threads))


def square(source: ImageFiles, preprocess: Preprocess) -> Callable[[int], Image.Image]:
    """A function from an image's number to the square of it, the same each time."""

    def square_of(index: int) -> Image.Image:
        image, name = source.read(index), source.name(index)
        return preprocess.apply(image, preprocess.draw(image.size, random.Random(index)), name=name)

    return square_of


def write_images(target: Any, images: Iterator[Image.Image]) -> None:
    """Fill an HDF5 dataset (N, S, S, C), and say now and then how far it is."""
    told = time.monotonic()
    for index, image in enumerate(images):
        target[index] = np.asarray(image).reshape(target.shape[1:])
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            info(f"{index + 1:,} of {len(target):,} images")


@contextmanager
def draft_of(out: Path) -> Iterator[Any]:
    """An HDF5 file that becomes `out` at the end of the block, and vanishes where that fails."""
    require("h5py", "scripts/make_hdf5.py")
    import h5py

    make_folder(out.parent)
    draft = out.with_name(f".{out.name}.tmp")
    try:
        with h5py.File(draft, "w") as file:
            yield file
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(draft, out)
    except (OSError, RuntimeError) as error:  # HDF5 tells a full disk as one or the other
        reason = error if isinstance(error, OSError) else OSError(0, str(error))
        raise cannot_write(out, reason) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataroot", required=True, help="folder of images")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, such as flowers64.h5")
    parser.add_argument("--size", type=int, required=True, help="width and height in pixels, 1 to 4096")
    parser.add_argument("--phase", default="train", help="sub-folder to take, if there is one (train)")
    parser.add_argument("--labeled", action="store_true", help="a folder a class")
    parser.add_argument("--grey", action="store_true", help="one channel instead of three")
    parser.add_argument("--preprocess", choices=["center", "long_edge", "resize"], default="center")
    parser.add_argument(
        "--center_size",
        type=int,
        default=0,
        help="with center: pixels of the square; 0 = the shorter side (0)",
    )
    parser.add_argument("--num_threads", type=int, default=4, help="threads that read images (4)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    given = parse(argv)
    if not 1 <= given.size <= 4096:
        raise UserError(f"--size {given.size} is out of range; give a number from 1 to 4096")
    if given.out.is_dir():
        raise UserError(f"--out {given.out} is a folder; name a file, such as {given.out}/images.h5")
    preprocess = Preprocess(
        given.preprocess,
        load_size=given.size,
        crop_size=given.size,
        center_size=given.center_size,
        flip=False,
    )
    root = phase_folder(given.dataroot, given.phase)
    paths, labels, classes = make_dataset(root), None, []
    if given.labeled:
        classes = class_names(root)
        if not classes:
            raise UserError(
                f"--labeled: {root} has no folders, which would be the classes; leave the flag out"
            )
        labels = labels_of(paths, root=root, classes=classes)
    source = ImageFiles(paths, channels=1 if given.grey else 3, labels=labels)
    make(given.out, source, preprocess, n_classes=len(classes), threads=given.num_threads)
    what = f"{len(source):,} images of {given.size}x{given.size} pixels"
    info(f"wrote {what}{f' in {len(classes)} classes' if classes else ''} into {given.out}")


if __name__ == "__main__":
    sys.exit(run(main))
