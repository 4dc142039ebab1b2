"""The data sets of torchvision: a table of their properties and how they are opened."""

import gzip
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import convert, open_image
from data.sources.lsun import LsunImages
from data.sources.source import Source
from util import distributed
from util.errors import UserError, one_line
from util.files import open_regular

MOST_UNPACKED = 2**26  # bytes; the images of MNIST have 47 MB


@dataclass(frozen=True)
class TvSet:
    """The properties of a data set."""

    n_classes: int = 0
    labels: str = ""  # attribute of the torchvision class that holds the labels
    has_train_argument: bool = False  # the class takes `train=True` instead of `split="train"`
    grey: bool = False
    flips: bool = True  # False: a mirrored image shows something else
    center_size: int = 0  # side in pixels of the central square that shows the object


SETS = {
    "MNIST": TvSet(10, labels="targets", has_train_argument=True, grey=True, flips=False),
    "FashionMNIST": TvSet(10, labels="targets", has_train_argument=True, grey=True),
    "CIFAR10": TvSet(10, labels="targets", has_train_argument=True),
    "CIFAR100": TvSet(100, labels="targets", has_train_argument=True),
    "STL10": TvSet(10, labels="labels"),
    "CelebA": TvSet(center_size=160),
    "LSUN": TvSet(),
}


def open_set(
    set_name: str, root: str, phase: str, *, channels: int, category: str = "", download: bool = False
) -> Source:
    """The images of `phase`, train or test; `category` is for LSUN, and `download` for all others.

    Raises:
        UserError: the data set is not below `root`, or cannot be downloaded.
    """
    if set_name == "LSUN":
        # LSUN has no test images by category, so the validation images are used
        part = {"train": "train", "test": "val"}[phase]
        return LsunImages(root, f"{category}_{part}", channels=channels)
    return TvImages(set_name, root, phase, channels=channels, download=download)


class TvImages:
    """A Source: a data set that torchvision opens."""

    def __init__(self, set_name: str, root: str, phase: str, *, channels: int, download: bool) -> None:
        from torchvision import datasets

        tv_set, tv_class = SETS[set_name], getattr(datasets, set_name)
        arguments = {"train": phase == "train"} if tv_set.has_train_argument else {"split": phase}
        try:
            if download and distributed.rank() == 0:
                tv_class(root, **arguments, download=True)
            distributed.barrier()
            with tempfile.TemporaryDirectory() as folder:
                self.tv_dataset = tv_class(_unpacked(root, set_name, folder), **arguments)
        except Exception as error:  # torchvision's readers fail in any way on damaged files
            reason = f"{os.path.abspath(root)}: {one_line(error)}"
            if download:
                raise UserError(f"{set_name} could not be downloaded into {reason}") from error
            raise UserError(
                f"torchvision finds no {set_name} in {reason}; pass the folder that contains it as --dataroot, or add "
                "--download"
            ) from error
        self.title, self.channels, self.root = f"{set_name}_{phase}", channels, root
        self.labels = np.asarray(getattr(self.tv_dataset, tv_set.labels), np.int64) if tv_set.labels else None
        if self.labels is not None and not _are_labels(self.labels, len(self), tv_set.n_classes):
            raise UserError(
                f"{set_name} in {os.path.abspath(root)} is damaged: it needs a label from 0 to {tv_set.n_classes - 1} "
                f"for each of its {len(self)} images; remove it and add --download"
            )
        names = list(getattr(self.tv_dataset, "classes", []))
        self.classes = names if len(names) == tv_set.n_classes else []

    def __len__(self) -> int:
        return len(self.tv_dataset)

    def read(self, index: int) -> Image.Image:
        if hasattr(self.tv_dataset, "landmarks_align"):  # CelebA consists of image files
            folder = Path(self.tv_dataset.root, self.tv_dataset.base_folder, "img_align_celeba")
            return open_image(folder / self.tv_dataset.filename[index], self.channels)
        try:
            return convert(self.tv_dataset[index][0], self.channels)
        except Exception as error:
            where = os.path.abspath(self.root)
            raise UserError(
                f"image {index} of {self.title} in {where} is damaged ({one_line(error)})"
            ) from error

    def name(self, index: int) -> str:
        return f"{self.title}_{index:06d}.png"


def _are_labels(labels: np.ndarray, count: int, n_classes: int) -> bool:
    return labels.shape == (count,) and count > 0 and labels.min() >= 0 and labels.max() < n_classes


def _unpacked(root: str, set_name: str, folder: str) -> str:
    """`root`, or `folder` with the unpacked files of MNIST if `root`, which may be read-only, has the gzip files only."""
    packed = sorted(Path(root, set_name, "raw").glob("*-ubyte.gz"))
    if not packed or all(path.with_suffix("").exists() for path in packed):
        return root
    raw = Path(folder, set_name, "raw")
    raw.mkdir(parents=True)
    for path in packed:
        with open_regular(path) as file, gzip.open(file) as source:
            content = source.read(MOST_UNPACKED + 1)
        if len(content) > MOST_UNPACKED:
            raise ValueError(f"{path} is larger than any file of MNIST")
        (raw / path.stem).write_bytes(content)
    return folder
