"""Lists of the images in a folder: compact, kept between starts, and grouped by class folder.

Here belong names and paths only. Opening and preparing images belongs to `data/images.py` and `data/cache`.
"""
