"""Random numbers that a seed or a saved state repeats: global generators, image pool, latent vectors."""

import random
import statistics

import numpy as np
import pytest
import torch

from util.image_pool import ImagePool
from util.noise import image_name, seeded_batch, seeded_z
from util.run.random_state import RandomState, seed_everything


def draws() -> tuple:
    return random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(2).tolist()


def test_all_generators_are_seeded_and_restored() -> None:
    seed_everything(3)
    first = draws()
    state = RandomState().state_dict()
    second = draws()
    seed_everything(3)
    assert draws() == first
    RandomState().load_state_dict(state)
    assert draws() == second


def test_neighbouring_seeds_give_unrelated_numbers() -> None:
    values = []
    for seed in range(50):
        seed_everything(seed)
        values.append(torch.rand(()).item())
    assert 0.3 < statistics.mean(values) < 0.7


def test_a_pool_of_size_0_returns_the_images() -> None:
    images = torch.randn(3, 3, 2, 2)
    assert ImagePool(0).query(images) is images


def test_a_pool_fills_first_and_then_swaps_half_of_the_images() -> None:
    torch.manual_seed(0)
    pool = ImagePool(10)
    first = torch.arange(10.0).view(10, 1, 1, 1)
    assert torch.equal(pool.query(first), first)
    old = 0
    for value in range(10, 1010):
        new = torch.full((1, 1, 1, 1), float(value))
        old += int(pool.query(new).item() != value)
    assert abs(old - 500) < 60


def test_a_pool_keeps_copies_without_gradients() -> None:
    pool, images = ImagePool(4), torch.ones(2, 1, 1, 1, requires_grad=True)
    returned = pool.query(images)
    with torch.no_grad():
        images.fill_(7.0)
    assert not returned.requires_grad
    assert [image.item() for image in pool.images] == [1.0, 1.0]


def test_two_pools_after_one_seed_swap_differently() -> None:
    torch.manual_seed(0)
    pools, kept = [ImagePool(3), ImagePool(3)], []
    for pool in pools:
        for value in range(40):
            pool.query(torch.full((1, 1, 1, 1), float(value)))
        kept.append([image.item() for image in pool.images])
    assert kept[0] != kept[1]


def test_a_restored_pool_continues_exactly() -> None:
    torch.manual_seed(1)
    pool = ImagePool(5)
    for value in range(20):
        pool.query(torch.full((1, 1, 1, 1), float(value)))
    torch.manual_seed(2)
    restored = ImagePool(5)
    restored.load_state_dict(pool.state_dict())
    for value in range(20, 40):
        image = torch.full((1, 1, 1, 1), float(value))
        assert torch.equal(pool.query(image), restored.query(image))


def test_z_depends_on_its_seed_alone() -> None:
    torch.manual_seed(1)
    batch = seeded_batch(5, 3, z_dim=4)
    assert all(torch.equal(batch[row], seeded_z(5 + row, 4)) for row in range(3))
    assert seeded_z(0, 3).tolist() == pytest.approx([0.1227, 0.5686, 0.2605], abs=1e-4)
    assert image_name(7) == "seed000007.png" and image_name(7, 3) == "seed000007_class03.png"


@pytest.mark.parametrize("truncation", [0.5, 2.0])
def test_truncated_z_stays_in_its_range_and_keeps_its_sign(truncation: float) -> None:
    free, truncated = seeded_z(0, 10_000), seeded_z(0, 10_000, truncation)
    assert truncated.abs().max() <= truncation and torch.equal(free.sign(), truncated.sign())
    normal = torch.distributions.Normal(0.0, 1.0)
    inside = 2 * normal.cdf(torch.tensor(truncation)) - 1
    variance = 1 - 2 * truncation * normal.log_prob(torch.tensor(truncation)).exp() / inside
    assert truncated.var().item() == pytest.approx(variance.item(), rel=0.05)
