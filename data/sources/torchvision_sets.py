"""The data sets of torchvision: a table of their properties and how they are opened."""

import gzip
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import convert
from data.sources.lsun import LsunImages
from data.sources.source import Source
from util import distributed
from util.errors import UserError


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
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            reason = f"{os.path.abspath(root)}: {' '.join(str(error).split())}"
            if download:
                raise UserError(f"{set_name} could not be downloaded into {reason}") from error
            raise UserError(
                f"torchvision finds no {set_name} in {reason}; pass the folder that contains it as --dataroot, or add "
                "--download"
            ) from error
        self.title, self.channels = f"{set_name}_{phase}", channels
        self.labels = np.asarray(getattr(self.tv_dataset, tv_set.labels), np.int64) if tv_set.labels else None

    def __len__(self) -> int:
        return len(self.tv_dataset)

    def read(self, index: int) -> Image.Image:
        return convert(self.tv_dataset[index][0], self.channels)

    def name(self, index: int) -> str:
        return f"{self.title}_{index:06d}.png"


def _unpacked(root: str, set_name: str, folder: str) -> str:
    """`root`, or `folder` with the unpacked files of MNIST if `root`, which may be read-only, has the gzip files only."""
    packed = sorted(Path(root, set_name, "raw").glob("*-ubyte.gz"))
    if not packed or all(path.with_suffix("").exists() for path in packed):
        return root
    raw = Path(folder, set_name, "raw")
    raw.mkdir(parents=True)
    for path in packed:
        with gzip.open(path) as source, open(raw / path.stem, "wb") as target:
            shutil.copyfileobj(source, target)
    return folder
