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


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"n_classes": 3, "labels": [1, 3]}, ["--labels 1,3", "class 3", 2]),
        ({"n_classes": 3, "labels": [-1]}, ["--labels", "-1", 2]),
        ({"labels": [1]}, ["--labels 1"]),
        ({"num_test": math.inf}, ["--num_test all"]),
        ({"seed": 2**32 - 4}, ["--seed 4294967292", "--num_test 5", 4294967295]),
        ({"isTrain": True}, ["--dataset_mode noise"]),
    ],
)
def test_noise_rejects_impossible_options(changed: dict, words: list) -> None:
    with refused(*words):
        dataset(noise(**changed))


def test_the_largest_seed_works() -> None:
    assert dataset(noise(seed=2**32 - 5))[4]["paths"] == "seed4294967295.png"


def test_noise_requires_a_noise_to_image_model() -> None:
    opt = noise(model="pix2pix")
    del opt.z_dim
    with refused("--dataset_mode noise", "--model pix2pix"):
        dataset(opt)


def test_flags_of_noise() -> None:
    opt = parsed("noise")
    assert (opt.truncation, opt.labels) == (math.inf, [])
    opt = parsed("noise", "--truncation", "0.7", "--labels", "3,5")
    assert (opt.truncation, opt.labels) == (0.7, [3, 5])
    for words in (
        ["--truncation", "0"],
        ["--truncation", "-1"],
        ["--truncation", "nan"],
        ["--truncation", "x"],
    ):
        with refused("--truncation", words[1]):
            parsed("noise", *words)
    with refused("--labels", "3,x"):
        parsed("noise", "--labels", "3,x")
