"""Puts the images of two folders side by side, as --dataset_mode aligned reads them.

    python scripts/combine_A_and_B.py --fold_A path/A --fold_B path/B --fold_AB path/AB

Both folders hold the same sub-folders (train, val, test), or the images themselves; the two images of a
pair have the same name, or with --use_AB the names 1_A.png and 1_B.png, and the same size.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from data.image_folder import is_image_file
from data.images import open_image
from util import log
from util.cli.arguments import Arguments
from util.errors import RunFault, UserError, run

Pair = tuple[Path, Path, Path]  # files of A, of B, and of both


def main() -> None:
    args = parse()
    for flag, folder in (("--fold_A", args.fold_A), ("--fold_B", args.fold_B)):
        if not folder.is_dir():
            raise UserError(f"{flag}: there is no folder {folder}")
    splits = sorted(entry.name for entry in args.fold_A.iterdir() if entry.is_dir()) or [""]
    pairs = {split: find_pairs(args, split)[: args.num_imgs] for split in splits}
    if not any(pairs.values()):
        raise UserError(f"no images in {args.fold_A} or its sub-folders")
    for split in splits:
        for count, pair in enumerate(pairs[split], start=1):
            combine(*pair)
            if count % 500 == 0 or count == len(pairs[split]):
                log.info(f"{args.fold_AB / split}: {count} of {len(pairs[split])} pairs")


def parse() -> argparse.Namespace:
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fold_A", type=Path, required=True, help="folder of the images A")
    parser.add_argument("--fold_B", type=Path, required=True, help="folder of the images B")
    parser.add_argument("--fold_AB", type=Path, required=True, help="folder to write to")
    parser.add_argument("--num_imgs", type=int, default=1_000_000, help="most images of a sub-folder")
    parser.add_argument("--use_AB", action="store_true", help="names are 1_A.png and 1_B.png, the pair 1.png")
    parser.add_argument(
        "--no_multiprocessing", action="store_true", help="for old commands; there is one process anyway"
    )
    return parser.parse_args()


def find_pairs(args: argparse.Namespace, split: str) -> list[Pair]:
    """The pairs of one sub-folder, sorted by name.

    Raises:
        UserError: an image of A has no partner in B.
    """
    names = sorted(
        path.name
        for path in (args.fold_A / split).iterdir()
        if is_image_file(path.name) and (not args.use_AB or path.stem.endswith("_A"))
    )
    pairs = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        B_name, AB_name = (f"{stem[:-2]}_B{suffix}", stem[:-2] + suffix) if args.use_AB else (name, name)
        pairs.append(
            (args.fold_A / split / name, args.fold_B / split / B_name, args.fold_AB / split / AB_name)
        )
    missing = [B_path for _, B_path, _ in pairs if not B_path.is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(pairs)} images in {args.fold_A / split} have no partner, the first needs "
            f"{missing[0]}; add the partners, or remove those images"
        )
    return pairs


def combine(A_path: Path, B_path: Path, AB_path: Path) -> None:
    """Write the RGB image [A|B]; the file appears whole or not at all.

    Raises:
        UserError: an image cannot be read, or the two differ in size.
        RunFault: the file cannot be written.
    """
    A, B = open_image(A_path, 3), open_image(B_path, 3)
    if A.size != B.size:
        raise UserError(
            f"{A_path} has {A.width}x{A.height} pixels and {B_path} {B.width}x{B.height}; "
            "make them the same size first"
        )
    AB = Image.new("RGB", (2 * A.width, A.height))
    AB.paste(A, (0, 0))
    AB.paste(B, (A.width, 0))
    part = AB_path.with_name(f".{AB_path.stem}.part{AB_path.suffix}")
    try:
        AB_path.parent.mkdir(parents=True, exist_ok=True)
        AB.save(part, quality=95, subsampling=0)  # JPEG: full colour resolution, for label images
        os.replace(part, AB_path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunFault(f"{AB_path} cannot be written ({error.strerror or error})") from error


if __name__ == "__main__":
    raise SystemExit(run(main))
