"""Prepared images that are kept between epochs, so that each file is decoded and resized once.

What is kept: the 8-bit pixels of an image after the steps that draw nothing at random (decoding, resizing).
When: `--cache auto` keeps what fits into a quarter of the free memory, `--cache disk` writes one file that
later runs reuse, `--cache off` keeps nothing.
Thrown away: memory at the end of the process; the file when an image file or a flag that changes the pixels has
changed.
Random crops and flips happen after the cache. `choose_store` selects the store; `prepared_images` is what data sets use.
"""
