"""The diversity of a set of images; a value near 0 indicates mode collapse."""

import torch.nn.functional as F
from torch import Tensor


def mean_pairwise_distance(x: Tensor) -> float:
    """Mean Euclidean distance over all pairs of rows of x (N, ...), N >= 2.

    Compare it with the value for an equal number of real images of the same size and range.
    """
    assert len(x) >= 2, x.shape
    return F.pdist(x.detach().flatten(1).float()).mean().item()
