"""The names of classes: recorded in the run, shown on sheets, and matched when the folders differ."""

import json
import os
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, draw_images, load_script, refused, run_main
from data_helpers import dataset

from options.test_options import TestOptions
from util.imaging import sheets

h5py = pytest.importorskip("h5py")
FISH = ["eel", "herring, smoked", "-pike"]  # names that a command line could not list


@pytest.fixture
def fish(tmp_path: Path) -> Path:
    for seed, name in enumerate(FISH):
        draw_images(tmp_path / "fish" / name, 2, size=(8, 8), seed=seed)
    return tmp_path / "fish"


def test_a_run_keeps_the_names_of_its_classes(fish: Path, tmp_path: Path) -> None:
    words = "--model cgan --name r --dataset_mode labeled --netG cgan_mlp --crop_size 8 --batch_size 2 --num_threads 0".split()
    words += ["--dataroot", fish, "--checkpoints_dir", tmp_path / "runs", "--display", "loss_log"]
    assert run_main("train.py", *words, "--n_epochs", 1) == 0
    assert json.loads((tmp_path / "runs" / "r" / "opt.json").read_text())["class_names"] == sorted(FISH)
    draw_images(fish / "carp", 2, size=(8, 8))  # would have shifted the numbers of all others
    assert run_main("train.py", *words, "--n_epochs", 2, "--continue_train") == 2
    (fish / "carp").rename(tmp_path / "carp")
    assert run_main("train.py", *words, "--n_epochs", 2, "--continue_train") == 0
    kept = json.loads((tmp_path / "runs" / "r" / "opt.json").read_text())
    assert kept["class_names"] == sorted(FISH) and kept["n_classes"] == 3
    opt = TestOptions().parse(["--name", "r", "--checkpoints_dir", str(tmp_path / "runs")])
    assert opt.class_names == sorted(FISH)


def test_a_run_with_a_class_that_looks_like_a_flag_is_read_again(tmp_path: Path) -> None:
    names = ["--perch", "--help", "eel"]
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "opt.json").write_text(
        json.dumps({"model": "cgan", "class_names": names, "n_classes": 3})
    )
    assert TestOptions().parse(["--name", "r", "--checkpoints_dir", str(tmp_path)]).class_names == names


def test_folders_are_matched_by_name(fish: Path) -> None:
    """A test set with fewer classes, which would have got other numbers."""
    trained = ["bream", *sorted(FISH)]
    opt = data_options(fish, "labeled", isTrain=False, class_names=trained, n_classes=4)
    items = dataset(opt)
    found = {items.name(index).split(os.sep)[-2]: int(items[index]["label"]) for index in range(6)}
    assert found == {"-pike": 1, "eel": 2, "herring, smoked": 3}
    with refused(fish, "eel"):
        dataset(data_options(fish, "labeled", class_names=["-pike", "herring, smoked"], n_classes=2))


def test_names_in_an_hdf5_file_are_those_of_the_folders(fish: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xe9el")
    (fish / "eel").rename(fish / odd)
    out = tmp_path / "fish.h5"
    load_script("scripts/make_hdf5.py").main(
        ["--dataroot", str(fish), "--out", str(out), "--size", "8", "--labeled"]
    )
    items = dataset(data_options(out, "hdf5"))
    assert items.opt.class_names == sorted(["herring, smoked", "-pike", odd])
    other = dataset(
        data_options(out, "hdf5", class_names=["-pike", "herring, smoked", "x", odd], n_classes=4)
    )
    assert [int(other[index]["label"]) for index in range(6)] == [0, 0, 1, 1, 3, 3]


def test_sheets_show_the_names() -> None:
    plan = sheets.Plan(z_dim=4, n_classes=4, class_names=("eel", "carp"), columns=2, steps=2)
    drawn = {sheet.name: sheet.caption for sheet in sheets.make(["classes", "interpolate_label"], plan)}
    assert "eel, carp, 2, 3" in drawn["classes"] and "eel to carp, carp to 2" in drawn["interpolate_label"]


# ---------------------------------------------------------------------- the layout of ajbrock's BigGAN


def test_the_hdf5_layout_of_biggan_is_read(tmp_path: Path) -> None:
    path = tmp_path / "I8.hdf5"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("imgs", data=pixels, chunks=(2, 3, 8, 8))
        file.create_dataset("labels", data=np.array([0, 6, 1, 0, 2]))
    opt = data_options(path, "hdf5")
    items = dataset(opt)
    assert type(items).count_classes(opt) == 7
    for index in range(5):
        expected = torch.from_numpy(pixels[index]).float() / 127.5 - 1
        assert torch.allclose(items[index]["image"], expected, atol=1e-6)
    assert [int(items[index]["label"]) for index in range(5)] == [0, 6, 1, 0, 2]
    with refused(path, "8x8", "--crop_size 16"):
        dataset(data_options(path, "hdf5", crop_size=16))


# ---------------------------------------------------------------------- HDF5 files that declare what they do not hold


KINDS = ["shape", "chunk", "labels", "float", "empty", "scalar", "group", "names", "control", "equal"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_hdf5_file_of_odd_contents_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.h5"
    some = np.zeros((4, 8, 8, 3), np.uint8)
    with h5py.File(path, "w") as file:
        if kind == "shape":
            file.create_dataset("images", (10**12, 8, 8, 3), "u1", chunks=(1, 8, 8, 3))
            file["images"][0] = 1
        elif kind == "chunk":  # a megabyte of zeros in a file of kilobytes, as a sample of more
            file.create_dataset("images", (10**7, 8, 8, 3), "u1", chunks=(10**5, 8, 8, 3), compression=9)
            file["images"][0] = some[0]
        elif kind == "group":
            file.create_group("images")
        elif kind in ("float", "empty", "scalar"):
            file["images"] = {"float": some + 0.5, "empty": some[:0], "scalar": np.uint8(1)}[kind]
        else:
            file["images"], file.attrs["n_classes"] = some, 2
            file["labels"] = [0.5, 1, 0, 0] if kind == "labels" else [0, 1, 0, 1]
            names = {"names": [1, 2], "control": [b"a", b"\x1b[31mb"], "equal": [b"a", b"a"]}
            file["class_names"] = names.get(kind, [b"a", b"b"])
    with refused(path):
        dataset(data_options(path, "hdf5"))


def test_an_hdf5_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.h5")
    with refused(tmp_path / "a.h5"):
        dataset(data_options(tmp_path / "a.h5", "hdf5"))


def test_a_number_of_classes_of_many_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64)
        file.attrs["n_classes"] = np.ones(8000)
    with refused(path):
        dataset(Namespace(**vars(data_options(path, "hdf5"))))
