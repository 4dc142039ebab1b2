"""Images with labels: each folder is a class, numbered in the order of the folder names or as in the run."""

from argparse import Namespace

from data.class_folders import class_names, labels_of, phase_folder
from data.image_folder import image_paths
from data.real_images import RealImages
from data.sources.source import ImageFiles
from util import log


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
        classes = class_names(root)
        paths = image_paths(root)
        labels = labels_of(paths, root=root, classes=classes) if classes else None
        super().__init__(opt, ImageFiles(paths, channels=opt.output_nc, labels=labels, classes=classes))
        if opt.isTrain and not classes:
            log.warn(f"{root} has no class folders, so this run has no labels")
