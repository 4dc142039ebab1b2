"""Join the images of two folders side by side, as --dataset_mode aligned reads them.

    python scripts/combine_A_and_B.py --fold_A path/A --fold_B path/B --fold_AB path/AB

Both folders hold the same sub-folders (train, val, test) or the images themselves. The two images of a pair
have the same size and the same name, or with --use_AB names such as 1_A.png and 1_B.png.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import explain_missing_package

sys.excepthook = explain_missing_package  # the packages below may not be installed

from PIL import Image

from data.image_folder import is_image_file
from data.images import open_image
from util import log
from util.cli.arguments import Arguments
from util.cli.flag_types import whole
from util.errors import UserError, run
from util.files import write_atomically

Pair = tuple[Path, Path, Path]  # files of A, of B, and of both


def main() -> None:
    args = parse()
    for flag, folder in (("--fold_A", args.fold_A), ("--fold_B", args.fold_B)):
        if not os.path.isdir(folder):
            raise UserError(f"{flag} {folder} is not a folder: give the folder of these images")
    splits = sorted(entry.name for entry in args.fold_A.iterdir() if entry.is_dir()) or [""]
    for split in splits:
        check_target(args, split)
    pairs = {split: find_pairs(args, split)[: args.num_imgs] for split in splits}
    if not any(pairs.values()):
        raise UserError(f"--fold_A {args.fold_A} holds no images, neither directly nor in its sub-folders")
    for split in splits:
        for count, pair in enumerate(pairs[split], start=1):
            combine(*pair)
            if count % 500 == 0 or count == len(pairs[split]):
                log.info(f"{args.fold_AB / split}: {count} of {len(pairs[split])} pairs")


def parse() -> argparse.Namespace:
    parser = Arguments(__doc__)
    add = parser.add_argument
    add("--fold_A", type=Path, required=True, help="folder of the images A")
    add("--fold_B", type=Path, required=True, help="folder of the images B")
    add("--fold_AB", type=Path, required=True, help="folder to write to")
    add("--num_imgs", type=whole(1), default=1_000_000, help="maximum number of pairs per sub-folder")
    add("--use_AB", action="store_true", help="join 1_A.png and 1_B.png to 1.png")
    add("--no_multiprocessing", action="store_true", help="accepted for old commands; has no effect")
    return parser.parse_args()


def check_target(args: argparse.Namespace, split: str) -> None:
    """Raise UserError if the results cannot be written to --fold_AB, or would replace images of A or B."""
    target = args.fold_AB / split
    above = (path for path in (target, *target.parents) if os.path.lexists(path))
    blocking = next((path for path in above if not os.path.isdir(path)), None)
    if blocking:
        raise UserError(f"--fold_AB {args.fold_AB}: {blocking} is no folder; give a new or an empty folder")
    for flag, folder in (("--fold_A", args.fold_A), ("--fold_B", args.fold_B)):
        inputs = folder / split
        if os.path.exists(target) and os.path.exists(inputs) and os.path.samefile(target, inputs):
            raise UserError(
                f"--fold_AB {args.fold_AB} would write to {inputs}, which holds the images of {flag} {folder}: "
                "give another folder"
            )


def find_pairs(args: argparse.Namespace, split: str) -> list[Pair]:
    """The pairs of one sub-folder, sorted by name; UserError if an image of A has no partner in B."""
    pairs = []
    for A_path in sorted(path for path in (args.fold_A / split).iterdir() if is_image_file(path.name)):
        B_name = AB_name = A_path.name
        if args.use_AB:
            if not A_path.stem.endswith("_A"):
                continue
            stem = A_path.stem.removesuffix("_A")
            B_name, AB_name = f"{stem}_B{A_path.suffix}", stem + A_path.suffix
        pairs.append((A_path, args.fold_B / split / B_name, args.fold_AB / split / AB_name))
    missing = [B_path for _, B_path, _ in pairs if not os.path.isfile(B_path)]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(pairs)} images in {args.fold_A / split} have no partner; the first one "
            f"needs {missing[0]}: add the missing files, or remove the images without a partner"
        )
    return pairs


def combine(A_path: Path, B_path: Path, AB_path: Path) -> None:
    """Write the RGB image [A|B], completely or not at all; UserError if the two differ in size."""
    A, B = open_image(A_path, 3), open_image(B_path, 3)
    if A.size != B.size:
        raise UserError(
            f"{A_path} has {A.width}x{A.height} pixels and {B_path} has {B.width}x{B.height}: "
            "give both images of a pair the same size"
        )
    AB = Image.new("RGB", (2 * A.width, A.height))
    AB.paste(A, (0, 0))
    AB.paste(B, (A.width, 0))
    kind = Image.registered_extensions()[AB_path.suffix.lower()]
    # JPEG without colour subsampling, which would blur the edges of label images
    write_atomically(AB_path, lambda file: AB.save(file, kind, quality=95, subsampling=0))


if __name__ == "__main__":
    raise SystemExit(run(main))
