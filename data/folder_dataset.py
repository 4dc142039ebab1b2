"""The images of one folder and its sub-folders, without labels, to train unconditional models on."""

from argparse import Namespace

from data.class_folders import phase_folder
from data.image_folder import image_paths
from data.real_images import RealImages
from data.sources.source import ImageFiles


class FolderDataset(RealImages):
    """All images in --dataroot/<phase>, or in --dataroot if there is no such folder."""

    cacheable = True

    def __init__(self, opt: Namespace) -> None:
        paths = image_paths(phase_folder(opt.dataroot, opt.phase), opt.max_dataset_size)
        super().__init__(opt, ImageFiles(paths, channels=opt.output_nc))
