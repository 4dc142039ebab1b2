"""Scores translations of the toy data set by their distance to the truth, compared with the unchanged input."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from util.errors import UserError

DIRECTIONS: Mapping[str, tuple[str, str]] = {"A_to_B": ("testA", "fake_B"), "B_to_A": ("testB", "fake_A")}


def score(results: Path, dataroot: Path) -> dict[str, float]:
    """Mean absolute errors of all test images, in 8-bit grey levels / 255 (0 to 1).

    `results` holds <stem>_fake_B.png and <stem>_fake_A.png, `dataroot` testA, testA_truth, testB and
    testB_truth. The keys, for A_to_B, B_to_A and their mean: `<name>_mae` of the translations,
    `<name>_copy_mae` of the unchanged inputs, and `<name>_lower_percent`, by how much the first is lower.
    UserError names an image that is missing, unreadable or of another size.
    """
    figures: dict[str, float] = {}
    for direction, (folder, label) in DIRECTIONS.items():
        translated, copied = _errors(results, dataroot, folder, label)
        figures |= _figures(direction, translated, copied)
    means = (sum(figures[f"{name}_{kind}"] for name in DIRECTIONS) / 2 for kind in ("mae", "copy_mae"))
    return figures | _figures("mean", *means)


def summary(figures: Mapping[str, float]) -> str:
    """The figures of score() in three lines."""
    return "\n".join(
        f"{name:6}  error {figures[f'{name}_mae']:.4f}, unchanged input {figures[f'{name}_copy_mae']:.4f}:"
        f" {figures[f'{name}_lower_percent']:.1f} % lower"
        for name in (*DIRECTIONS, "mean")
    )


def _figures(name: str, translated: float, copied: float) -> dict[str, float]:
    lower = 100 * (1 - translated / copied)
    return {f"{name}_mae": translated, f"{name}_copy_mae": copied, f"{name}_lower_percent": lower}


def _errors(results: Path, dataroot: Path, folder: str, label: str) -> tuple[float, float]:
    """The mean errors of the translations and of the inputs."""
    sources = sorted((dataroot / folder).glob("*.png"))
    if not sources or not (dataroot / f"{folder}_truth").is_dir():
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
    translated, copied = np.mean(errors, axis=0).tolist()
    return translated, copied


def _read(path: Path) -> np.ndarray:
    """(H, W, 3) float32, 0 to 255."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.float32)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing: translate all test images with test.py --num_test all"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read as an image: make it again") from error
