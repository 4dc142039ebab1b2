"""Latent vectors that a seed decides, the same for ever."""

import math

import numpy as np
import torch
from torch import Tensor


def seeded_z(seed: int, z_dim: int, truncation: float = math.inf) -> Tensor:
    """z ~ N(0, 1), float32 (z_dim,), cut off beyond +-truncation (BigGAN, arXiv:1809.11096, section 3.1).

    Drawn through the inverse of the distribution, which equals drawing anew what lies beyond, and moves
    a seed's z smoothly with the truncation. The uniform numbers come from numpy's legacy generator,
    which is promised never to change. 0 <= seed < 2**32.
    """
    assert truncation > 0, truncation
    uniform = torch.from_numpy(np.random.RandomState(seed).random_sample(z_dim)).clamp(1e-12, 1 - 1e-12)
    beyond = torch.special.ndtr(torch.tensor(-truncation, dtype=torch.float64))
    return torch.special.ndtri(beyond + uniform * (1 - 2 * beyond)).float()


def image_name(seed: int, label: int | None = None) -> str:
    """seed000007.png, or seed000007_class03.png: what the image of a seed, and of a class, is called."""
    return f"seed{seed:06d}{'' if label is None else f'_class{label:02d}'}.png"


def seeded_batch(first_seed: int, count: int, z_dim: int, truncation: float = math.inf) -> Tensor:
    """Rows of seeded_z for the seeds from `first_seed` on: (count, z_dim)."""
    return torch.stack([seeded_z(first_seed + index, z_dim, truncation) for index in range(count)])
