"""Where items come from when they are not plain image files: HDF5, LMDB and the sets of torchvision.

A source gives images by number; data set plugins combine sources with preprocessing. Folders of image files are
listed by `data/listing` and `data/image_folder.py`.
"""
