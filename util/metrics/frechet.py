"""The Frechet distance between two sets of features."""

import torch
from torch import Tensor

Statistics = tuple[Tensor, Tensor]


def statistics(features: Tensor) -> Statistics:
    """features (N, D), N >= 2 -> mean (D,) and unbiased covariance (D, D), float64 on the CPU."""
    assert features.ndim == 2 and len(features) >= 2, features.shape
    features = features.detach().cpu().double()
    centred = features - features.mean(0)
    return features.mean(0), centred.T @ centred / (len(features) - 1)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Squared Frechet distance of two Gaussians: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) >= 0.

    With Inception features this is the FID (arXiv:1706.08500). Values are comparable only for the same feature
    extractor and a similar number of images: fewer images give larger values.
    """
    (mean_a, covariance_a), (mean_b, covariance_b) = a, b
    # For C = F F^T, the singular values of F1^T F2 are the square roots of the eigenvalues of C1 C2. They are exact
    # to rounding, while square roots of computed eigenvalues lose half of the digits if C is singular.
    overlap = torch.linalg.svdvals(_factor(covariance_a).T @ _factor(covariance_b)).sum()
    distance = (mean_a - mean_b).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def _factor(covariance: Tensor) -> Tensor:
    """F (D, D) with F F^T = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()
