"""The Frechet distance and the diversity of images, compared with closed forms."""

import math

import pytest
import torch

from util.metrics.diversity import mean_pairwise_distance
from util.metrics.frechet import frechet_distance, statistics


def random_features(count: int, size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=generator)
    return torch.randn(count, size, generator=generator) @ mix + torch.randn(size, generator=generator)


def test_statistics_are_the_mean_and_the_unbiased_covariance_in_float64():
    features = random_features(50, 6, seed=0)
    mean, covariance = statistics(features)
    assert mean.dtype == covariance.dtype == torch.float64
    assert torch.allclose(mean, features.double().mean(0))
    assert torch.allclose(covariance, torch.cov(features.T.double()))


def test_the_distance_of_diagonal_gaussians_sums_squared_differences_of_means_and_deviations():
    mean_a, mean_b = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([1.0, 0.0, 6.0]).double()
    sigma_a, sigma_b = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([4.0, 2.0, 1.0]).double()
    found = frechet_distance((mean_a, sigma_a.square().diag()), (mean_b, sigma_b.square().diag()))
    assert found == pytest.approx(4 + 9 + 9 + 0 + 1, abs=1e-9)


def test_the_distance_is_right_for_covariances_that_do_not_commute():
    a = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    b = torch.tensor([[3.0, 0.0], [0.0, 1.0]]).double()
    # in two dimensions the trace of the root of M is sqrt(tr M + 2 sqrt(det M)), for M = C1 C2
    overlap = math.sqrt(torch.trace(a @ b).item() + 2 * math.sqrt(9))
    mean = torch.zeros(2).double()
    assert frechet_distance((mean, a), (mean, b)) == pytest.approx(8 - 2 * overlap, abs=1e-9)
    assert not torch.allclose(a @ b, b @ a)


@pytest.mark.parametrize(("count", "size"), [(400, 32), (20, 64)], ids=["full rank", "singular"])
def test_equal_sets_have_distance_0_and_the_order_does_not_matter(count: int, size: int):
    a, b = statistics(random_features(count, size, seed=1)), statistics(random_features(count, size, seed=2))
    assert 0 <= frechet_distance(a, a) < 1e-6
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, b) > 1


def test_shifting_all_features_adds_the_squared_shift():
    features = random_features(300, 8, seed=3)
    shifted = features + 0.5
    assert frechet_distance(statistics(features), statistics(shifted)) == pytest.approx(8 * 0.25, rel=1e-4)


def test_the_mean_pairwise_distance_counts_each_pair_of_rows_once():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])
    assert mean_pairwise_distance(x) == pytest.approx((5 + 8 + 5) / 3)


def test_images_are_compared_by_all_their_pixels():
    images = random_features(10, 48, seed=4)
    expected = [torch.dist(images[i], images[j]).item() for i in range(10) for j in range(i)]
    assert mean_pairwise_distance(images.view(10, 3, 4, 4)) == pytest.approx(sum(expected) / 45, rel=1e-5)


def test_copies_of_one_image_have_diversity_0():
    one = random_features(1, 3072, seed=5) * 100
    assert mean_pairwise_distance(one.expand(20, -1)) == 0.0
