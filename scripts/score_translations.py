"""Score translations of the toy data set by their distance to the true translations.

    python scripts/score_translations.py --results results/toy/test_latest/images --dataroot datasets/toy

Prints the mean absolute error of the translations, and by how much it is lower than that of the unchanged inputs.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import explain_missing_package

sys.excepthook = explain_missing_package  # the packages below may not be installed

import numpy as np

from data.images import open_image
from util.cli.arguments import Arguments
from util.errors import UserError, run
from util.files import write_atomically
from util.log import info

DIRECTIONS = {"A_to_B": ("testA", "fake_B"), "B_to_A": ("testB", "fake_A")}


def main(argv: Sequence[str] | None = None) -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--results", type=Path, required=True, help="folder that holds <stem>_fake_B.png")
    parser.add_argument("--dataroot", type=Path, required=True, help="folder of the toy data set")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args(argv)
    figures = score(args.results, args.dataroot)
    if args.json:
        write_atomically(args.json, (json.dumps(figures, indent=2) + "\n").encode())
    for name in (*DIRECTIONS, "mean"):
        error, unchanged, lower = (figures[f"{name}_{kind}"] for kind in ("mae", "copy_mae", "lower_percent"))
        info(f"{name:6}  error {error:.4f}, unchanged input {unchanged:.4f}: {lower:.1f} % lower")


def score(results: Path, dataroot: Path) -> dict[str, float]:
    """Mean absolute errors of all test images, in 8-bit grey levels / 255 (0 to 1).

    `results` holds <stem>_fake_B.png and <stem>_fake_A.png, `dataroot` testA, testA_truth, testB and
    testB_truth. The keys, for A_to_B, B_to_A and their mean: `<name>_mae` of the translations,
    `<name>_copy_mae` of the unchanged inputs, and `<name>_lower_percent`, by how much the first is lower.
    UserError names an image that is missing, unreadable or of another size.
    """
    errors = {name: _errors(results, dataroot, *labels) for name, labels in DIRECTIONS.items()}
    errors["mean"] = np.mean(list(errors.values()), axis=0).tolist()
    figures: dict[str, float] = {}
    for name, (translated, copied) in errors.items():
        lower = 100 * (1 - translated / copied)
        figures |= {f"{name}_mae": translated, f"{name}_copy_mae": copied, f"{name}_lower_percent": lower}
    return figures


def _errors(results: Path, dataroot: Path, folder: str, label: str) -> list[float]:
    """The mean errors of the translations and of the inputs."""
    folders = (dataroot / folder, dataroot / f"{folder}_truth")
    sources = sorted(folders[0].glob("*.png")) if all(map(os.path.isdir, folders)) else []
    if not sources:
        raise UserError(
            f"--dataroot {dataroot} lacks {folder} or {folder}_truth: "
            "draw the data set with python scripts/make_toy_dataset.py"
        )
    errors = []
    for source in sources:
        truth = _read(dataroot / f"{folder}_truth" / source.name)
        translation = _read(results / f"{source.stem}_{label}.png")
        if translation.shape != truth.shape:
            (h, w), (H, W) = translation.shape[:2], truth.shape[:2]
            raise UserError(
                f"the {label} of {source.name} has {w}x{h} pixels, but the truth has {W}x{H}: "
                f"run test.py with --load_size {W} --crop_size {W}"
            )
        errors.append([float(np.abs(image - truth).mean()) / 255 for image in (translation, _read(source))])
    return np.mean(errors, axis=0).tolist()


def _read(path: Path) -> np.ndarray:
    """(H, W, 3) float32, 0 to 255."""
    if not os.path.exists(path):
        raise UserError(f"{path} is missing: translate all test images with test.py --num_test all")
    return np.asarray(open_image(path, 3), np.float32)


if __name__ == "__main__":
    raise SystemExit(run(main))
