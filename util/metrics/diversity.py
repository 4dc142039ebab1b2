"""How much the pictures of a set differ from each other: near 0 where a generator has collapsed."""

import torch.nn.functional as F
from torch import Tensor


def mean_pairwise_distance(x: Tensor) -> float:
    """Mean Euclidean distance of all pairs of different rows of x (N, ...), N >= 2.

    It holds N (N - 1) / 2 distances at once, and no differences: 500 rows take half a megabyte beside x.
    Compare it with that of as large a set of real images in the same range and size.
    """
    assert len(x) >= 2, x.shape
    return F.pdist(x.detach().flatten(1).float()).mean().item()
