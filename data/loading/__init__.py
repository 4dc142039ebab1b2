"""From a data set to batches: order, seeds, worker processes, GPU prefetch, and the check before training.

`data/loader.py` combines these modules.
"""
