"""One HDF5 file of images that scripts/make_hdf5.py has made: quick to read where opening files is slow."""

import argparse

from data.real_images import RealImages, image_channels
from data.sources import hdf5_file


class Hdf5Dataset(RealImages):
    """--dataroot is the file; its images must have --crop_size pixels and --output_nc channels."""

    repeats = True

    @staticmethod
    def count_classes(opt: argparse.Namespace) -> int:
        return hdf5_file.count_classes(opt.dataroot)

    def __init__(self, opt: argparse.Namespace) -> None:
        source = hdf5_file.Hdf5Images(opt.dataroot, side=opt.crop_size, channels=image_channels(opt))
        super().__init__(opt, source)
