"""The order of images, and how batches reach the device: sampler, GPU prefetch, and the check before training.

`data/loader.py` puts them together.
"""
