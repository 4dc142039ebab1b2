"""Latent vectors that depend only on a seed, and the names of their images."""

import math

import numpy as np
import torch
from torch import Tensor


def seeded_z(seed: int, z_dim: int, truncation: float = math.inf) -> Tensor:
    """z ~ N(0, 1), float32 (z_dim,), truncated to +-truncation (BigGAN, arXiv:1809.11096, section 3.1).

    0 <= seed < 2**32. Inverse transform sampling has the same distribution as drawing values outside the range
    again, and z changes continuously with the truncation. numpy guarantees that its legacy generator never changes.
    """
    assert truncation > 0, truncation
    uniform = torch.from_numpy(np.random.RandomState(seed).random_sample(z_dim)).clamp(1e-12, 1 - 1e-12)
    outside = torch.special.ndtr(torch.tensor(-truncation, dtype=torch.float64))
    return torch.special.ndtri(outside + uniform * (1 - 2 * outside)).float()


def seeded_batch(first_seed: int, count: int, z_dim: int, truncation: float = math.inf) -> Tensor:
    """seeded_z of `count` consecutive seeds as rows, (count, z_dim)."""
    return torch.stack([seeded_z(first_seed + index, z_dim, truncation) for index in range(count)])


def image_name(seed: int, label: int | None = None) -> str:
    """The file name of an image: seed000007.png, or with a class seed000007_class03.png."""
    return f"seed{seed:06d}{'' if label is None else f'_class{label:02d}'}.png"
