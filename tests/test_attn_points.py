"""--attn_points of cycle_gan_attn: the positions whose attention the maps show."""

from collections.abc import Callable

import pytest
import torch
from conftest import random_batch, refused

from models import create_model


def attention(train_opt: Callable, *words: object) -> torch.Tensor:
    torch.manual_seed(0)
    model = create_model(train_opt("--model", "cycle_gan_attn", *words))
    return model.test(random_batch("pairs", size=2))["attn_A"]


def test_the_points_are_chosen_and_have_a_default(train_opt: Callable) -> None:
    middle, others = attention(train_opt), attention(train_opt, "--attn_points", "0.5,0.5;0.9,0.1;0.2,0.5")
    assert middle.shape == (2, 3, 32, 64) and others.shape == (2, 3, 32, 96)
    assert torch.equal(others[..., :32], middle[..., :32]) and torch.equal(others[..., 64:], middle[..., 32:])


@pytest.mark.parametrize("points", ["", "1,0.5", "0.5", "a,b", "0.5,0.5;"])
def test_wrong_points_are_refused(train_opt: Callable, points: str) -> None:
    with refused(f"--attn_points {points}".strip()):
        train_opt("--model", "cycle_gan_attn", "--attn_points", points)
