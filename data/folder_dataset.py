"""The images of one folder, at any depth and without labels: to learn to make more of them."""

import argparse

from data.image_folder import image_paths
from data.listing.class_folders import phase_folder
from data.real_images import RealImages, image_channels
from data.sources.source import ImageFiles


class FolderDataset(RealImages):
    """Every image below --dataroot, or below --dataroot/<phase> if that folder exists."""

    repeats = True

    def __init__(self, opt: argparse.Namespace) -> None:
        self.paths = image_paths(phase_folder(opt.dataroot, opt.phase), opt.max_dataset_size)
        super().__init__(opt, ImageFiles(self.paths, channels=image_channels(opt)))

    def files_to_check(self) -> list[str]:
        return list(self.paths)
