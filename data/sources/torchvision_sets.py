"""The data sets of torchvision: a table of their properties and how they are opened."""

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
class Request:
    """What to open."""

    set_name: str
    root: str
    phase: str  # train or test
    channels: int
    category: str
    download: bool


@dataclass(frozen=True)
class TvSet:
    """How to open a data set, and its properties."""

    open: Callable[[Request], Source]
    n_classes: int = 0
    grey: bool = False
    flips: bool = True  # False: a mirrored image shows something else
    center_size: int = 0  # side in pixels of the central square that shows the object


class TvImages:
    """A Source; `labels` is the attribute of the torchvision class that holds the labels, "" without labels."""

    def __init__(self, request: Request, *, arguments: dict[str, Any], labels: str) -> None:
        self.title, self.channels = f"{request.set_name}_{request.phase}", request.channels
        self.tv_dataset = open_set(request, arguments)
        self.labels = np.asarray(getattr(self.tv_dataset, labels), np.int64) if labels else None

    def __len__(self) -> int:
        return len(self.tv_dataset)

    def read(self, index: int) -> Image.Image:
        return convert(self.tv_dataset[index][0], self.channels)

    def name(self, index: int) -> str:
        return f"{self.title}_{index:06d}.png"


def by_train(request: Request) -> Source:
    return TvImages(request, arguments={"train": request.phase == "train"}, labels="targets")


def by_split(request: Request) -> Source:
    return TvImages(request, arguments={"split": request.phase}, labels="labels")


def celeba(request: Request) -> Source:
    return TvImages(request, arguments={"split": request.phase}, labels="")


def lsun(request: Request) -> Source:
    # LSUN has no test images by category, so the validation images are used
    part = {"train": "train", "test": "val"}[request.phase]
    return LsunImages(request.root, f"{request.category}_{part}", channels=request.channels)


SETS = {
    "MNIST": TvSet(by_train, n_classes=10, grey=True, flips=False),
    "FashionMNIST": TvSet(by_train, n_classes=10, grey=True),
    "CIFAR10": TvSet(by_train, n_classes=10),
    "CIFAR100": TvSet(by_train, n_classes=100),
    "STL10": TvSet(by_split, n_classes=10),
    "CelebA": TvSet(celeba, center_size=160),
    "LSUN": TvSet(lsun),
}


def open_set(request: Request, arguments: dict[str, Any]) -> Any:
    """The torchvision data set, downloaded before if requested.

    Raises:
        UserError: it is not below the root, or cannot be downloaded.
    """
    from torchvision import datasets

    tv_class = getattr(datasets, request.set_name)
    try:
        if request.download and distributed.rank() == 0:
            tv_class(request.root, **arguments, download=True)
        distributed.barrier()
        with unpacked(request.root, request.set_name) as root:
            return tv_class(root, **arguments)
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        place, reason = os.path.abspath(request.root), " ".join(str(error).split())
        problem = (
            f"{request.set_name} could not be downloaded into {place}: {reason}"
            if request.download
            else f"torchvision finds no {request.set_name} in {place} ({reason}): use --dataroot for the folder "
            "that holds it, or add --download"
        )
        raise UserError(problem) from error
