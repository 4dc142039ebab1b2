"""The data sets that torchvision knows: a table of what each one is and how it is opened."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from data.images import convert
from data.sources.gzip_idx import unpacked
from data.sources.lsun import LsunImages
from data.sources.source import Source
from util import distributed
from util.errors import UserError


@dataclass(frozen=True)
class Wanted:
    """What the person asked for."""

    set_name: str
    root: str
    phase: str  # train or test
    channels: int
    category: str
    download: bool


@dataclass(frozen=True)
class TvSet:
    """What a set is, and how to open it."""

    open: Callable[[Wanted], Source]
    n_classes: int = 0
    grey: bool = False
    flips: bool = True  # False: mirrored, an image shows another thing
    center_size: int = 0  # pixels around the middle that show the thing


class TvImages:
    """A Source of torchvision's; `labels` is the attribute that holds the classes, empty for a set without."""

    def __init__(self, wanted: Wanted, *, part: dict[str, Any], labels: str) -> None:
        self.title, self.channels = f"{wanted.set_name}_{wanted.phase}", wanted.channels
        self.stored = open_set(wanted, part)
        self.labels = np.asarray(getattr(self.stored, labels), np.int64) if labels else None

    def __len__(self) -> int:
        return len(self.stored)

    def read(self, index: int) -> Image.Image:
        return convert(self.stored[index][0], self.channels)

    def name(self, index: int) -> str:
        return f"{self.title}_{index:06d}.png"


def by_train(wanted: Wanted) -> Source:
    return TvImages(wanted, part={"train": wanted.phase == "train"}, labels="targets")


def by_split(wanted: Wanted) -> Source:
    return TvImages(wanted, part={"split": wanted.phase}, labels="labels")


def faces(wanted: Wanted) -> Source:
    return TvImages(wanted, part={"split": wanted.phase}, labels="")


def scenes(wanted: Wanted) -> Source:
    # the test part of LSUN is one for all categories, so the validation part stands for it
    part = {"train": "train", "test": "val"}[wanted.phase]
    return LsunImages(wanted.root, f"{wanted.category}_{part}", channels=wanted.channels)


SETS = {
    "MNIST": TvSet(by_train, n_classes=10, grey=True, flips=False),
    "FashionMNIST": TvSet(by_train, n_classes=10, grey=True),
    "CIFAR10": TvSet(by_train, n_classes=10),
    "CIFAR100": TvSet(by_train, n_classes=100),
    "STL10": TvSet(by_split, n_classes=10),
    "CelebA": TvSet(faces, center_size=160),
    "LSUN": TvSet(scenes),
}


def open_set(wanted: Wanted, part: dict[str, Any]) -> Any:
    """The data set as torchvision opens it, fetched before if that was asked for.

    Raises:
        UserError: it is not below the root, or cannot be fetched.
    """
    from torchvision import datasets

    build = getattr(datasets, wanted.set_name)
    try:
        if wanted.download and distributed.rank() == 0:
            build(wanted.root, **part, download=True)
        distributed.barrier()
        with unpacked(wanted.root, wanted.set_name) as root:
            return build(root, **part)
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        raise UserError(_not_there(wanted, error)) from error


def _not_there(wanted: Wanted, error: Exception) -> str:
    place, reason = os.path.abspath(wanted.root), " ".join(str(error).split())
    if wanted.download:
        return f"{wanted.set_name} could not be fetched into {place}: {reason}"
    return (
        f"torchvision finds no {wanted.set_name} in {place} ({reason}): name the folder that holds it "
        "with --dataroot, or add --download"
    )
