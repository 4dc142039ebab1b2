"""Prepared images that are kept between epochs, so that each file is decoded and resized only once.

Cached are the 8-bit pixels of an image after all steps without randomness (decoding, resizing). Random crops and
flips follow after the cache. `--cache auto` keeps what fits into a quarter of the free memory, `memory` keeps
everything or stops with an error, `disk` writes a file that later runs use again, and `off` keeps nothing.
The memory is freed at the end of the process; the file is replaced when an image or a flag that changes pixels has
changed. `prepared_images` is what data sets use, and `choose_store` selects the store.
"""
