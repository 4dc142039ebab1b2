"""The data set `noise`."""

import argparse
import math
from pathlib import Path

import pytest
import torch
from conftest import data_options, refused
from data_helpers import count_classes, dataset, parsed

from data import create_dataset, find_dataset_using_name
from data.loader import Loader
from util.noise import seeded_z


def noise(**changed: object) -> argparse.Namespace:
    values = {
        "isTrain": False,
        "model": "dcgan",
        "num_test": 5,
        "z_dim": 4,
        "n_classes": 0,
        "truncation": math.inf,
        "labels": [],
        "seed": 6,
    }
    return data_options(Path("."), "noise", **{**values, "dataroot": None, **changed})


def test_noise_depends_only_on_the_seed() -> None:
    loader = create_dataset(noise(batch_size=2, num_test=3))
    assert isinstance(loader, Loader) and len(loader) == 3
    batches = list(loader)
    assert batches[0]["paths"] == ["seed000006.png", "seed000007.png"] and "label" not in batches[0]
    assert torch.equal(batches[0]["z"][1], seeded_z(7, 4))
    assert not find_dataset_using_name("noise").needs_dataroot
    cut = dataset(noise(truncation=0.5, num_test=50))
    assert max(cut[index]["z"].abs().max() for index in range(50)) <= 0.5
    assert torch.equal(cut[1]["z"], seeded_z(7, 4, 0.5))


def test_consecutive_seeds_get_consecutive_classes() -> None:
    items = dataset(noise(n_classes=4))
    assert [int(items[index]["label"]) for index in range(5)] == [2, 3, 0, 1, 2]
    assert items[1]["paths"] == "seed000007_class03.png" and items[1]["label"].dtype == torch.int64
    items = dataset(noise(n_classes=4, labels=[3, 1]))
    assert [int(items[index]["label"]) for index in range(4)] == [3, 1, 3, 1]


def test_noise_has_the_classes_of_the_model() -> None:
    assert [count_classes(noise(n_classes=number)) for number in (None, 0, 7)] == [0, 0, 7]


@pytest.mark.parametrize(("n_classes", "label"), [(3, -1), (0, 1)])
def test_classes_that_do_not_exist_are_rejected(n_classes: int, label: int) -> None:
    with refused("--labels", label):
        dataset(noise(n_classes=n_classes, labels=[label]))


def test_the_largest_seed_works() -> None:
    assert dataset(noise(seed=2**32 - 5))[4]["paths"] == "seed4294967295.png"


def test_flags_of_noise() -> None:
    opt = parsed("noise")
    assert (opt.truncation, opt.labels) == (math.inf, [])
    opt = parsed("noise", "--truncation", "0.7", "--labels", "3,5")
    assert (opt.truncation, opt.labels) == (0.7, [3, 5])
    for value in ("0", "nan"):
        with refused("--truncation", value):
            parsed("noise", "--truncation", value)
