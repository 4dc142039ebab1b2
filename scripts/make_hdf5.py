"""Join a folder of images into one HDF5 file for --dataset_mode hdf5, all scaled to the same square.

    python scripts/make_hdf5.py --dataroot datasets/flowers --out flowers64.h5 --size 64 --labeled

--preprocess center     takes the central square of each image
--preprocess long_edge  takes a square at a random place along the longer side, the same in every call
--preprocess resize     scales the whole image to a square
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import explain_missing_package

sys.excepthook = explain_missing_package  # the packages below may not be installed

from PIL import Image

from data.class_folders import class_names, labels_of, phase_folder
from data.image_folder import make_dataset
from data.sources.source import ImageFiles, threaded_map
from util.cli.arguments import Arguments
from util.cli.flag_types import whole
from util.cli.packages import require
from util.errors import UserError, run
from util.files import write_atomically
from util.log import info

REPORT_EVERY_S = 10.0


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    if os.path.lexists(args.out) and not os.path.isfile(args.out):
        raise UserError(f"--out {args.out} is no file; name a new file, such as {args.out}.h5")
    root = phase_folder(args.dataroot, args.phase)
    paths, labels, classes = make_dataset(root), None, []
    if args.labeled:
        classes = class_names(root)
        if not classes:
            raise UserError(f"--labeled: {root} has no folders to use as classes; leave the flag out")
        labels = labels_of(paths, root=root, classes=classes)
    source = ImageFiles(paths, channels=1 if args.grey else 3, labels=labels, classes=classes)
    write(args, source)
    classes_word = f" in {len(classes)} classes" if classes else ""
    info(f"wrote {len(source):,} images of {args.size}x{args.size} pixels{classes_word} to {args.out}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Arguments(__doc__)
    add = parser.add_argument
    add("--dataroot", required=True, help="folder of images")
    add("--out", type=Path, required=True, help="the file to write, such as flowers64.h5")
    add("--size", type=whole(1, 4096), required=True, help="width and height in pixels, 1 to 4096")
    add("--phase", default="train", help="sub-folder to read, if there is one (train)")
    add("--labeled", action="store_true", help="each folder is a class, as in --dataset_mode labeled")
    add("--grey", action="store_true", help="store one channel instead of three")
    add(
        "--preprocess", choices=["center", "long_edge", "resize"], default="center", help="see above (center)"
    )
    add(
        "--center_size",
        type=whole(0),
        default=0,
        help="with center: side of the square; 0 = the shorter side (0)",
    )
    add("--num_threads", type=whole(1, 1024), default=4, help="threads that read images (4)")
    return parser.parse_args(argv)


def write(args: argparse.Namespace, source: ImageFiles) -> None:
    """Write every image of `source`, its label, and the names of the classes to --out; a kill leaves the earlier file or none."""
    require("h5py", "scripts/make_hdf5.py")
    import h5py
    import numpy as np

    from data.transforms import Preprocess  # imports torch, which --help does not need

    side, center = args.size, args.center_size
    preprocess = Preprocess(args.preprocess, load_size=side, crop_size=side, center_size=center, flip=False)

    def square(index: int) -> Image.Image:
        image, name = source.read(index), source.name(index)
        return preprocess.apply(image, preprocess.draw(image.size, random.Random(index)), name=name)

    def fill(draft: IO[bytes]) -> None:
        with h5py.File(draft.name, "w", locking=False) as file:  # the draft is locked
            shape = (side, side, source.channels)
            images = file.create_dataset("images", (len(source), *shape), np.uint8, chunks=(1, *shape))
            if source.labels is not None:
                file.create_dataset("labels", data=source.labels)
                file.attrs["n_classes"] = len(source.classes)
                names = [os.fsencode(name) for name in source.classes]
                file.create_dataset("class_names", data=names, dtype=h5py.string_dtype())
            reported = time.monotonic()
            for index, image in enumerate(threaded_map(square, len(source), threads=args.num_threads)):
                images[index] = np.asarray(image).reshape(shape)
                if time.monotonic() - reported > REPORT_EVERY_S:
                    reported = time.monotonic()
                    info(f"{index + 1:,} of {len(source):,} images")

    write_atomically(args.out, fill, sync=True)


if __name__ == "__main__":
    raise SystemExit(run(main))
