"""A folder a class: images with the number of their class, in the order of the folders' names."""

import argparse
from collections.abc import Sequence

from data.image_folder import image_paths
from data.listing.class_folders import class_names, labels_of, phase_folder
from data.real_images import RealImages, image_channels
from data.sources.source import ImageFiles
from util import log

SHOWN = 20  # classes told one by one


class LabeledDataset(RealImages):
    """The folders of --dataroot, or of --dataroot/<phase> if that exists, are the classes 0, 1, ...

    Their sub-folders are searched, too. Without any folder the images have no labels.
    """

    repeats = True

    @staticmethod
    def count_classes(opt: argparse.Namespace) -> int:
        return len(class_names(phase_folder(opt.dataroot, opt.phase)))

    def __init__(self, opt: argparse.Namespace) -> None:
        root = phase_folder(opt.dataroot, opt.phase)
        self.classes = class_names(root)
        paths = image_paths(root)
        labels = labels_of(paths, root=root, classes=self.classes) if self.classes else None
        super().__init__(opt, ImageFiles(paths, channels=image_channels(opt), labels=labels))
        if opt.isTrain and self.labels is not None:
            log.info(f"classes: {described(self.classes)}")
        if opt.isTrain and not self.classes:
            log.warn(f"{root} holds no folder a class, so this run has no labels")

    def files_to_check(self) -> list[str]:
        return [self.name(index) for index in range(len(self))]


def described(classes: Sequence[str]) -> str:
    words = [f"{number} {name}" for number, name in enumerate(classes[:SHOWN])]
    more = [f"and so on to {len(classes) - 1} {classes[-1]}"] if len(classes) > SHOWN else []
    return ", ".join(words + more)
