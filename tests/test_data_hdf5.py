"""The data set `hdf5` and scripts/make_hdf5.py."""

import os
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, load_script, refused
from data_helpers import assert_cached_in_memory, count_classes, dataset, draw, draw_classes
from PIL import Image

from data import create_dataset
from data.sources.per_process import OpenPerProcess
from data.transforms import to_tensor


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return draw_classes(tmp_path / "set")


def make_hdf5(*words: object) -> None:
    pytest.importorskip("h5py", reason="needs the package h5py")
    load_script("scripts/make_hdf5.py").main([str(word) for word in words])


@pytest.fixture
def h5(classes: Path, tmp_path: Path) -> Path:
    make_hdf5("--dataroot", classes, "--out", tmp_path / "set.h5", "--size", 8, "--labeled")
    return tmp_path / "set.h5"


def test_hdf5_equals_labeled(classes: Path, h5: Path) -> None:
    opt = data_options(h5, "hdf5")
    stored, folders = dataset(opt), dataset(data_options(classes, "labeled"))
    assert count_classes(opt) == 3 and len(stored) == len(folders) == 6
    for index in range(6):
        assert torch.equal(stored[index]["image"], folders[index]["image"])
        assert torch.equal(stored[index]["label"], folders[index]["label"])
    assert stored[4]["paths"] == "set_0000004.png"
    assert "label" not in dataset(data_options(h5, "hdf5", n_classes=0))[0]
    three = dataset(data_options(h5, "hdf5", max_dataset_size=3))
    assert [int(three[index]["label"]) for index in range(3)] == [1, 0, 2]


def test_each_worker_opens_its_own_file(h5: Path) -> None:
    opt = data_options(h5, "hdf5", num_threads=3)
    expected = [dataset(opt)[index]["image"] for index in range(6)]
    loader = create_dataset(opt)
    loader.dataset[0]  # open in the main process, too, when the workers are forked
    for epoch in range(1, 4):
        for batch in loader.epoch(epoch):
            index = int(batch["paths"][0].split("_")[1].removesuffix(".png"))
            assert torch.equal(batch["image"][0], expected[index])
    assert torch.equal(pickle.loads(pickle.dumps(loader.dataset))[3]["image"], expected[3])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_processes_do_not_share_an_open_file(tmp_path: Path) -> None:
    opened = OpenPerProcess(partial(open, draw(tmp_path / "1.png"), "rb"))
    parents = opened()
    assert opened() is parents
    child = os.fork()
    if not child:
        childs = opened()
        separate = childs is not parents and parents.closed and childs.tell() == 0 and opened() is childs
        os._exit(0 if separate else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert opened() is parents and not parents.closed
    opened.close()
    assert parents.closed and not opened().closed


def test_hdf5_rejects_other_files(h5: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with refused(h5, "8x8", "--crop_size 16", "--output_nc 1"):
        dataset(data_options(h5, "hdf5", crop_size=16, output_nc=1))
    with h5py.File(h5, "a") as file:
        file["labels"][0] = 3
    with refused(h5, "labels", 6):
        dataset(data_options(h5, "hdf5"))
    with h5py.File(h5, "a") as file:
        del file.attrs["n_classes"]
    with refused(h5, "n_classes"):
        count_classes(data_options(h5, "hdf5"))
    with h5py.File(h5, "a") as file:
        del file["images"]
        file["images"] = np.zeros((6, 8, 8, 3), np.float32)
    with refused(h5, "images", "uint8"):
        dataset(data_options(h5, "hdf5"))


def test_make_hdf5_options(tmp_path: Path) -> None:
    draw(tmp_path / "flat" / "1.png", (12, 20))
    stored = Image.open(tmp_path / "flat" / "1.png")
    out = tmp_path / "new" / "grey.h5"
    make_hdf5("--dataroot", tmp_path / "flat", "--out", out, "--size", 8, "--grey", "--center_size", 10)
    opt = data_options(out, "hdf5", output_nc=1)
    assert count_classes(opt) == 0 and set(dataset(opt)[0]) == {"image", "paths"}
    middle = stored.convert("L").crop((1, 5, 11, 15)).resize((8, 8), Image.Resampling.BICUBIC)
    assert torch.equal(dataset(opt)[0]["image"], to_tensor(middle))
    written = []
    for _ in range(2):
        make_hdf5("--dataroot", tmp_path / "flat", "--out", out, "--size", 12, "--preprocess", "long_edge")
        written.append(dataset(data_options(out, "hdf5", crop_size=12))[0]["image"])
    assert torch.equal(*written)
    squares = [to_tensor(stored.crop((0, y, 12, y + 12))) for y in range(9)]
    assert sum(torch.equal(written[0], square) for square in squares) == 1


def test_make_hdf5_fails_without_changing_the_old_file(classes: Path, h5: Path, tmp_path: Path) -> None:
    before = h5.read_bytes()
    (classes / "c" / "6.png").write_bytes(b"no image")
    for out in (h5, tmp_path / "new.h5"):
        with refused(classes / "c" / "6.png"):
            make_hdf5("--dataroot", classes, "--out", out, "--size", 8)
    assert h5.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.h5"]


def test_make_hdf5_rejects_wrong_options(classes: Path, tmp_path: Path) -> None:
    for words, sentence_words in (
        (["--size", 0, "--out", tmp_path / "x.h5"], ["--size", 0]),
        (["--size", 8, "--out", tmp_path], [tmp_path]),
    ):
        with refused(*sentence_words):
            make_hdf5("--dataroot", classes, *words)
    with refused("--labeled", classes / "a"):
        make_hdf5("--dataroot", classes / "a", "--size", 8, "--out", tmp_path / "x.h5", "--labeled")


def test_images_are_cached_in_memory(h5: Path) -> None:
    assert_cached_in_memory(data_options(h5, "hdf5"))
