"""From a data set to batches: order, seeds, worker processes and GPU prefetch.

`data/loader.py` combines these modules.
"""
