"""Folders of one kind of images: where below --dataroot they are, and which classes they stand for."""

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.image_folder import is_image_file, make_dataset, visible
from util.errors import UserError


def phase_folder(dataroot: str, phase: str) -> Path:
    """`dataroot`/`phase` if that folder exists, else `dataroot` itself.

    Raises:
        UserError: the phase has no folder but training has.
    """
    own, training = Path(dataroot, phase), Path(dataroot, "train")
    if own.is_dir():
        return own
    if training.is_dir():
        raise UserError(
            f"there is no folder {own}, though there is {training}: make it, or name the part with --phase train"
        )
    return Path(dataroot)


def class_names(root: Path) -> list[str]:
    """The names of the class folders in `root`, sorted; empty for a flat folder of images.

    Raises:
        UserError: no such folder, or images beside the class folders.
    """
    if not root.is_dir():
        make_dataset(root)  # raises: it knows the sentence
    names = sorted(entry.name for entry in visible(root) if entry.is_dir())
    if not names:
        return names
    beside = [entry.name for entry in visible(root) if is_image_file(entry.name) and not entry.is_dir()]
    if beside:
        raise UserError(
            f"{root} holds images, such as {min(beside)}, beside the class folders {', '.join(names[:3])}"
            f"{', ...' if len(names) > 3 else ''}: move them into a class, or use --dataset_mode folder"
        )
    return names


def labels_of(paths: Sequence[str], *, root: Path, classes: Sequence[str]) -> np.ndarray:
    """The number of the class folder that each of the sorted `paths` lies in: int64 (N,).

    Raises:
        UserError: a class folder without an image.
    """
    labels = np.full(len(paths), -1, np.int64)
    empty = []
    for number, name in enumerate(classes):
        # sorted, the paths of a folder stand together: from its own path to that with the letter after the slash
        start = bisect_left(paths, os.path.join(root, name, ""))
        end = bisect_left(paths, os.path.join(root, name) + chr(ord(os.sep) + 1), start)
        labels[start:end] = number
        if start == end:
            empty.append(name)
    if empty:
        raise UserError(
            f"the class folder {root / empty[0]} holds no image"
            f"{f', nor do {len(empty) - 1} others' if len(empty) > 1 else ''}: fill it or remove it"
        )
    assert len(labels) == 0 or labels.min() >= 0, "every path lies in a class"
    return labels
