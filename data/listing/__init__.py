"""Lists of the image files in a folder: held compactly, and kept between starts.

Only names and paths belong here. Opening and preparing images belongs to `data/images.py` and `data/cache`.
"""
