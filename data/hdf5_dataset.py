"""The images of one HDF5 file from scripts/make_hdf5.py, which loads fast where opening many files is slow."""

from argparse import Namespace

from data.real_images import RealImages
from data.sources import hdf5_file


class Hdf5Dataset(RealImages):
    """--dataroot is the file. Its images must have --crop_size pixels per side and --output_nc channels."""

    cacheable = True

    @staticmethod
    def count_classes(opt: Namespace) -> int:
        return hdf5_file.count_classes(opt.dataroot)

    def __init__(self, opt: Namespace) -> None:
        source = hdf5_file.Hdf5Images(opt.dataroot, side=opt.crop_size, channels=opt.output_nc)
        super().__init__(opt, source)
