"""Draws the built-in data set: the same kind of scenes with plain brown and with striped animals, from a seed.

    python scripts/make_toy_dataset.py --out datasets/toy --size 64 --train 400 --test 40 --seed 0

A is plain, B is striped. `unaligned` writes trainA, trainB, testA and testB, all of different scenes, and
the true translations of the test images into testA_truth and testB_truth. `aligned` writes train and test,
each file one scene side by side, [A|B]. `--masks` adds, beside each folder, one that ends in _mask.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.toy.scenes import Scene, Style, draw_scene, render, render_mask
from util.cli.arguments import Arguments
from util.errors import RunFault, UserError, run
from util.log import info

DRAWING = 2  # raise it when the pictures change: an older set is then drawn anew
UNALIGNED: dict[str, Style] = {"A": "plain", "B": "striped"}
FOLDERS = [
    name + ending
    for name in ("trainA", "trainB", "testA", "testB", "train", "test")
    for ending in ("", "_mask", "_truth")
]


@dataclass(frozen=True)
class ToySet:
    """The parameters that decide every pixel of a set."""

    size: int
    train: int  # scenes in each training folder
    test: int
    seed: int
    style: str  # unaligned, aligned or both
    masks: bool
    drawing: int = DRAWING


def make(out: Path, wanted: ToySet, *, force: bool = False) -> bool:
    """Write the set into `out`; False where it is there already.

    toy.json is named toy.json.partial until the last image is written.
    Raises UserError for a folder that holds something else, RunFault when the disk refuses.
    """
    ready, partial = out / "toy.json", out / "toy.json.partial"
    text = json.dumps(asdict(wanted), indent=2) + "\n"
    try:
        if ready.is_file() and ready.read_text() == text and not force:
            return False
        _refuse_foreign(out, ready, partial, force)
        out.mkdir(parents=True, exist_ok=True)
        if ready.is_file():
            os.replace(ready, partial)
        partial.write_text(text)
        for name in FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
        _write_images(out, wanted)
        os.replace(partial, ready)
    except OSError as error:
        reason = error.strerror or error
        raise RunFault(f"cannot write {error.filename or out}: {reason}; choose another --out") from error
    return True


def _refuse_foreign(out: Path, ready: Path, partial: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder that does not exist yet")
    if ready.is_file() and not force:
        raise UserError(
            f"--out {out} holds a toy set with other parameters; choose another folder or add --force"
        )
    if out.is_dir() and any(out.iterdir()) and not ready.is_file() and not partial.is_file():
        raise UserError(f"--out {out} is not empty and not a toy set; name a new or an empty folder")


def _write_images(out: Path, wanted: ToySet) -> None:
    for phase, count in (("train", wanted.train), ("test", wanted.test)):
        for index in range(count):
            if wanted.style in ("unaligned", "both"):
                for domain in UNALIGNED:
                    _write_unaligned(out, wanted, phase, domain, index)
            if wanted.style in ("aligned", "both"):
                _write_aligned(out, wanted, phase, index)


def _write_unaligned(out: Path, wanted: ToySet, phase: str, domain: str, index: int) -> None:
    folder, name = phase + domain, f"{index:04d}.png"
    scene = draw_scene(wanted.seed, folder, index)
    own, other = (UNALIGNED[domain], UNALIGNED["B" if domain == "A" else "A"])
    _save(out / folder / name, render(scene, own, wanted.size))
    if phase == "test":
        _save(out / f"{folder}_truth" / name, render(scene, other, wanted.size))
    _write_mask(out / f"{folder}_mask" / name, wanted, scene)


def _write_aligned(out: Path, wanted: ToySet, phase: str, index: int) -> None:
    name = f"{index:04d}.png"
    scene = draw_scene(wanted.seed, phase, index)
    pair = [render(scene, style, wanted.size) for style in UNALIGNED.values()]
    _save(out / phase / name, np.concatenate(pair, axis=1))
    _write_mask(out / f"{phase}_mask" / name, wanted, scene)


def _write_mask(path: Path, wanted: ToySet, scene: Scene) -> None:
    if wanted.masks:
        _save(path, render_mask(scene, wanted.size))


def _save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the set")
    parser.add_argument("--size", type=int, default=64, help="width and height in pixels, 32 to 1024 (64)")
    parser.add_argument("--train", type=int, default=400, help="scenes in each training folder (400)")
    parser.add_argument("--test", type=int, default=40, help="scenes in each test folder (40)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same set (0)")
    parser.add_argument("--style", choices=["unaligned", "aligned", "both"], default="unaligned")
    parser.add_argument("--masks", action="store_true", help="also write where the animals are, in white")
    parser.add_argument("--force", action="store_true", help="replace a toy set with other parameters")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    given = parse(argv)
    for flag, value, least, most in (
        ("--size", given.size, 32, 1024),
        ("--train", given.train, 1, 9999),
        ("--test", given.test, 1, 9999),
        ("--seed", given.seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            raise UserError(f"{flag} {value} is out of range; give a number from {least} to {most}")
    wanted = ToySet(given.size, given.train, given.test, given.seed, given.style, given.masks)
    drawn = make(given.out, wanted, force=given.force)
    info(f"{'wrote the toy set into' if drawn else 'already there:'} {given.out}")


if __name__ == "__main__":
    sys.exit(run(main))
