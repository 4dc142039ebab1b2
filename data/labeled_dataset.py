"""Images with labels: each folder is a class, numbered in the order of the folder names."""

from argparse import Namespace
from collections.abc import Sequence

from data.class_folders import class_names, labels_of, phase_folder
from data.image_folder import image_paths
from data.real_images import RealImages, image_channels
from data.sources.source import ImageFiles
from util import log

MAX_PRINTED = 20  # classes


class LabeledDataset(RealImages):
    """The folders in --dataroot/<phase>, or in --dataroot if there is no such folder, are the classes 0, 1, ...

    Sub-folders of a class belong to it. If there are no folders, the images have no labels.
    """

    cacheable = True

    @staticmethod
    def count_classes(opt: Namespace) -> int:
        return len(class_names(phase_folder(opt.dataroot, opt.phase)))

    def __init__(self, opt: Namespace) -> None:
        root = phase_folder(opt.dataroot, opt.phase)
        self.classes = class_names(root)
        paths = image_paths(root)
        labels = labels_of(paths, root=root, classes=self.classes) if self.classes else None
        super().__init__(opt, ImageFiles(paths, channels=image_channels(opt), labels=labels))
        if opt.isTrain and self.labels is not None:
            log.info(f"classes: {numbered(self.classes)}")
        if opt.isTrain and not self.classes:
            log.warn(f"{root} has no class folders, so this run has no labels")

    def files_to_check(self) -> list[str]:
        return [self.name(index) for index in range(len(self))]


def numbered(classes: Sequence[str]) -> str:
    words = [f"{number} {name}" for number, name in enumerate(classes[:MAX_PRINTED])]
    if len(classes) > MAX_PRINTED:
        words.append(f"... {len(classes) - 1} {classes[-1]}")
    return ", ".join(words)
