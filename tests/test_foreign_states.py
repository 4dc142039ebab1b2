"""States that were made by hand are refused when they are loaded, not in the step that uses them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.training.ema import EMA
from util.image_pool import ImagePool
from util.run.lr_schedule import Schedule
from util.run.random_state import RandomState

IMAGE = torch.zeros(3, 4, 4)


def averages() -> EMA:
    ema = EMA(0.9)
    ema.track("G", nn.Linear(1, 1))
    return ema


@pytest.mark.parametrize(
    ("make", "key", "value"),
    [
        (lambda: Schedule("linear", 1, 0), "reduction", {"x": 1}),
        (lambda: Schedule("linear", 1, 0), "reduction", torch.zeros(0)),
        (lambda: Schedule("linear", 1, 0), "policy", "step"),
        (averages, "updates", "many"),
        (lambda: ImagePool(2), "images", [IMAGE.bool()]),
        (lambda: ImagePool(2), "images", [IMAGE[0]]),
        (lambda: ImagePool(2), "images", [IMAGE.to_sparse()]),
        (lambda: ImagePool(2), "images", [IMAGE.to("meta")]),
        (lambda: ImagePool(2), "images", "text"),
        (RandomState, "numpy", (torch.zeros(624), 10**6, 0, 0.0)),
        (RandomState, "numpy", (torch.zeros(3), 0, 0, 0.0)),
    ],
)
def test_a_state_of_other_values_is_refused_when_loaded(
    make: Callable[[], Any], key: str, value: object
) -> None:
    part = make()
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    with pytest.raises((ValueError, TypeError, AttributeError)):
        part.load_state_dict(part.state_dict() | {key: value})
    part.load_state_dict(part.state_dict())
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[arg-type]


def test_a_pool_still_takes_images_of_each_size_and_precision() -> None:
    pool = ImagePool(4)
    state = pool.state_dict() | {"images": [IMAGE, IMAGE[:, :2].half()]}
    pool.load_state_dict(state)
    images: list[Tensor] = pool.images
    assert [image.shape[1] for image in images] == [4, 2]
