"""Draw the built-in data set: scenes with brown and with striped animals, from a seed.

    python scripts/make_toy_dataset.py --out datasets/toy --size 64 --train 400 --test 40 --seed 0

Domain A has brown coats, B has stripes.
--style unaligned  writes trainA, trainB, testA and testB, which all show different scenes,
                   and the true translations of the test images in testA_truth and testB_truth
--style aligned    writes train and test; each file shows one scene in both styles, [A|B]
--masks            adds a folder that ends in _mask beside each of these
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import explain_missing_package

sys.excepthook = explain_missing_package  # the packages below may not be installed

import numpy as np
from PIL import Image

from scripts.toy.scenes import Style, draw_scene, render, render_mask
from util.cli.arguments import Arguments
from util.cli.flag_types import whole
from util.errors import RunFault, UserError, run
from util.log import info

DRAWING = 2  # raise this number when the pictures change, so that older sets are drawn again
# folder -> the styles that each file shows side by side, and the style of the true translation
FOLDERS: dict[str, tuple[list[Style], Style | None]] = {
    "trainA": (["brown"], None),
    "trainB": (["striped"], None),
    "testA": (["brown"], "striped"),
    "testB": (["striped"], "brown"),
    "train": (["brown", "striped"], None),
    "test": (["brown", "striped"], None),
}


def make(out: Path, wanted: argparse.Namespace, *, force: bool = False) -> bool:
    """Write the set to `out`; -> False if it is there already.

    toy.json is called toy.json.partial until the last image is written.
    """
    ready, partial = out / "toy.json", out / "toy.json.partial"
    text = json.dumps(vars(wanted), indent=2) + "\n"
    try:
        if ready.is_file() and ready.read_text() == text and not force:
            return False
        _check_folder(out, ready, partial, force)
        out.mkdir(parents=True, exist_ok=True)
        if ready.is_file():
            os.replace(ready, partial)
        partial.write_text(text)
        for name in [folder + ending for folder in FOLDERS for ending in ("", "_mask", "_truth")]:
            shutil.rmtree(out / name, ignore_errors=True)
        _write_images(out, wanted)
        os.replace(partial, ready)
    except OSError as error:
        reason = error.strerror or error
        raise RunFault(f"cannot write {error.filename or out}: {reason}; choose another --out") from error
    return True


def _check_folder(out: Path, ready: Path, partial: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder that does not exist yet")
    if ready.is_file() and not force:
        raise UserError(
            f"--out {out} holds a toy set with other parameters: name another folder or add --force"
        )
    if out.is_dir() and any(out.iterdir()) and not ready.is_file() and not partial.is_file():
        raise UserError(f"--out {out} is not empty and not a toy set: name a new or an empty folder")


def _write_images(out: Path, wanted: argparse.Namespace) -> None:
    """Write each scene in the styles of its folder, with its true translation and its mask."""
    for name, (styles, truth) in FOLDERS.items():
        if wanted.style not in ("both", "unaligned" if len(styles) == 1 else "aligned"):
            continue
        for index in range(wanted.train if name.startswith("train") else wanted.test):
            file, scene = f"{index:04d}.png", draw_scene(wanted.seed, name, index)
            _save(out / name / file, np.hstack([render(scene, style, wanted.size) for style in styles]))
            if truth:
                _save(out / f"{name}_truth" / file, render(scene, truth, wanted.size))
            if wanted.masks:
                _save(out / f"{name}_mask" / file, render_mask(scene, wanted.size))


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Arguments(__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the set")
    add("--size", type=whole(32, 1024), default=64, help="width and height in pixels, 32 to 1024 (64)")
    add("--train", type=whole(1, 9999), default=400, help="scenes in each training folder (400)")
    add("--test", type=whole(1, 9999), default=40, help="scenes in each test folder (40)")
    add("--seed", type=whole(0, 2**63 - 1), default=0, help="the same seed draws the same set (0)")
    add("--style", choices=["unaligned", "aligned", "both"], default="unaligned", help="see above")
    add("--masks", action="store_true", help="also write masks, white where the animals are")
    add("--force", action="store_true", help="replace a toy set with other parameters")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    # what decides every pixel
    names = ("size", "train", "test", "seed", "style", "masks")
    wanted = argparse.Namespace(**{name: getattr(args, name) for name in names}, drawing=DRAWING)
    drawn = make(args.out, wanted, force=args.force)
    info(f"wrote the toy set to {args.out}" if drawn else f"{args.out} holds this toy set already")


if __name__ == "__main__":
    raise SystemExit(run(main))
