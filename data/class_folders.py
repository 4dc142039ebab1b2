"""Folders of images for noise-to-image models: the folder of the phase, and class folders as labels."""

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.image_folder import is_folder, is_image_file, missing_folder, visible
from util.errors import UserError

MAX_NAMED = 10  # classes in an error


def phase_folder(dataroot: str, phase: str) -> Path:
    """`dataroot`/`phase`, or `dataroot` without it; raises UserError if only training has a folder."""
    folder, training = Path(dataroot, phase), Path(dataroot, "train")
    if os.path.isdir(folder):
        return folder
    if os.path.isdir(training):
        raise UserError(f"there is no folder {folder}: create it, or use --phase train to read {training}")
    return Path(dataroot)


def class_names(root: Path) -> list[str]:
    """The sorted names of the class folders in `root`; empty if `root` has no folders.

    Raises:
        UserError: `root` does not exist, or contains images next to class folders.
    """
    if not os.path.isdir(root):
        raise missing_folder(root)
    entries = list(visible(root))
    names = sorted(entry.name for entry in entries if is_folder(entry))
    images = [entry.name for entry in entries if is_image_file(entry.name) and not is_folder(entry)]
    if names and images:
        more = ", ..." if len(names) > 3 else ""
        raise UserError(
            f"{root} contains images, such as {min(images)}, next to the class folders {', '.join(names[:3])}{more}: "
            "move them into a class, or use --dataset_mode folder"
        )
    return names


def renumbered(
    labels: np.ndarray, names: Sequence[str], *, trained: Sequence[str], where: str | Path
) -> np.ndarray:
    """The `labels` of classes called `names`, numbered as in `trained`, the names of the classes of a run.

    Raises:
        UserError: a class is not one of the run.
    """
    unknown = sorted(set(names) - set(trained))
    if unknown:
        raise UserError(
            f"{where} has the class {unknown[0]}, which the run was not trained with; its {len(trained)} classes are "
            f"{', '.join(trained[:MAX_NAMED])}{', ...' * (len(trained) > MAX_NAMED)}: rename or remove the others"
        )
    return np.array([trained.index(name) for name in names], np.int64)[labels]


def labels_of(paths: Sequence[str], *, root: Path, classes: Sequence[str]) -> np.ndarray:
    """The class of each of the sorted `paths`, int64 (N,); raises UserError if a class folder has no images."""
    labels = np.full(len(paths), -1, np.int64)
    for number, name in enumerate(classes):
        # the paths of a class are contiguous: they start with `name/`, and `name0` follows them ("0" follows "/")
        start = bisect_left(paths, os.path.join(root, name, ""))
        end = bisect_left(paths, os.path.join(root, name) + chr(ord(os.sep) + 1), start)
        labels[start:end] = number
        if start == end:
            raise UserError(f"the class folder {root / name} contains no images: add some or remove it")
    return labels
