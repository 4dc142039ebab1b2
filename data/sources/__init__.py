"""Sources of stored images by number: image files, HDF5, LMDB and the data sets of torchvision.

Data set plugins combine a source with preprocessing. Image files are found by `data/image_folder.py`.
"""
