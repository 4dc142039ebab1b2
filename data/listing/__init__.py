"""Lists of the image files in a folder: compact, kept between starts, and grouped by class folder.

Only names and paths belong here. Opening and preparing images belongs to `data/images.py` and `data/cache`.
"""
