"""The data sets `folder` and `labeled`."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, refused
from data_helpers import count_classes, dataset, draw, draw_classes, names, saved
from PIL import Image

from data import create_dataset
from data.class_folders import labels_of
from data.image_folder import make_dataset
from data.sources.source import select_indices
from data.transforms import to_tensor
from util import log


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return draw_classes(tmp_path / "set")


def test_folder_includes_sub_folders(tmp_path: Path) -> None:
    for name in ["b.png", "a/deep/1.png", "a/0.png"]:
        draw(tmp_path / name)
    opt = data_options(tmp_path, "folder", phase="test")
    items = dataset(opt)
    assert names(items, tmp_path) == ["a/0.png", "a/deep/1.png", "b.png"] and count_classes(opt) == 0
    assert set(items[0]) == {"image", "paths"}
    assert items[0]["image"].shape == (3, 8, 8) and items[0]["image"].dtype == torch.float32
    resized = Image.open(tmp_path / "b.png").resize((8, 8), Image.Resampling.BICUBIC)
    assert torch.equal(items[2]["image"], to_tensor(resized))
    assert len(dataset(data_options(tmp_path, "folder", max_dataset_size=2))) == 2


@pytest.mark.parametrize("mode", ["folder", "labeled"])
def test_the_folder_of_the_phase_is_preferred(tmp_path: Path, mode: str) -> None:
    draw(tmp_path / "train" / "x" / "1.png")
    assert len(dataset(data_options(tmp_path, mode))) == 1
    with refused(tmp_path / "test", tmp_path / "train", "--phase train"):
        dataset(data_options(tmp_path, mode, phase="test"))
    draw(tmp_path / "test" / "x" / "2.png")
    assert names(dataset(data_options(tmp_path, mode, phase="test")), tmp_path) == ["test/x/2.png"]


@pytest.mark.parametrize("mode", ["folder", "labeled"])
def test_grey_broken_and_unsupported_images(classes: Path, mode: str) -> None:
    items = dataset(data_options(classes, mode, output_nc=1))
    assert items[0]["image"].shape == (1, 8, 8)
    assert items.files_to_check() == [str(classes / name) for name in names(items, classes)]
    (classes / "c" / "5.png").write_bytes(b"no image")
    with refused("--check_data", classes / "c" / "5.png", "file 4 of 6"):
        create_dataset(data_options(classes, mode, check_data=True))
    with refused("--output_nc 2"):
        dataset(data_options(classes, mode, output_nc=2))


def test_labeled_numbers_folders_by_name(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(log, "info", messages.append)
    opt = data_options(classes, "labeled")
    items = dataset(opt)
    assert count_classes(opt) == 3 and messages == ["classes: 0 a, 1 a-b, 2 c"]
    by_name = {Path(item["paths"]).name: item["label"] for item in map(items.__getitem__, range(6))}
    assert [int(by_name[f"{number}.png"]) for number in range(1, 7)] == [0, 0, 1, 2, 2, 2]
    assert by_name["1.png"].dtype == torch.int64 and by_name["1.png"].shape == ()
    batch = next(iter(create_dataset(data_options(classes, "labeled", batch_size=6))))
    assert batch["label"].dtype == torch.int64 and sorted(batch["label"].tolist()) == [0, 0, 1, 2, 2, 2]


def test_items_have_no_labels_if_the_model_or_the_folder_has_no_classes(classes: Path) -> None:
    assert "label" in dataset(data_options(classes, "labeled", n_classes=3))[0]
    assert set(dataset(data_options(classes, "labeled", n_classes=0))[0]) == {"image", "paths"}
    flat = data_options(classes / "a", "labeled")
    assert count_classes(flat) == 0 and set(dataset(flat)[0]) == {"image", "paths"}


def test_labeled_rejects_empty_classes_mixed_folders_and_missing_folders(classes: Path) -> None:
    (classes / "b").mkdir()
    (classes / "b" / "notes.txt").touch()
    with refused(classes / "b"):
        dataset(data_options(classes, "labeled"))
    draw(classes / "beside.png")
    for look in (count_classes, dataset):
        with refused(classes, "beside.png", "a-b", "--dataset_mode folder"):
            look(data_options(classes, "labeled"))
        with refused(classes.parent / "nowhere", "set"):
            look(data_options(classes.parent / "nowhere", "labeled"))


def test_max_dataset_size_takes_from_every_class(classes: Path) -> None:
    items = dataset(data_options(classes, "labeled", max_dataset_size=4))
    assert names(items, classes) == ["a-b/3.png", "a/1.png", "a/2.png", "c/5.png"]
    assert len(items.files_to_check()) == 4


def test_select_indices_alternates_between_classes() -> None:
    labels = np.array([2, 2, 2, 2, 0, 0, 1])
    assert select_indices(7, labels, 5).tolist() == [0, 1, 4, 5, 6]
    assert select_indices(7, labels, 3).tolist() == [0, 4, 6]
    assert select_indices(7, labels, 7).tolist() == select_indices(7, None, math.inf).tolist() == [*range(7)]
    assert select_indices(7, None, 2).tolist() == [0, 1]
    with refused("--max_dataset_size 0"):
        select_indices(7, labels, 0)


def test_labels_do_not_depend_on_how_folder_names_sort(tmp_path: Path) -> None:
    classes = sorted(["a", "a b", "a-b", "a0", "ab", "B", "\u2603", os.fsdecode(b"\xe9")])
    for number, name in enumerate(classes):
        for image in range(number + 1):
            saved(tmp_path / name / ("deep" * (image % 2)) / f"{image}.png", Image.new("L", (1, 1)))
    paths = make_dataset(tmp_path)
    labels = labels_of(paths, root=tmp_path, classes=classes)
    assert [classes[label] for label in labels] == [
        Path(path).relative_to(tmp_path).parts[0] for path in paths
    ]
    (tmp_path / "a-").mkdir()
    with refused(tmp_path / "a-"):
        labels_of(paths, root=tmp_path, classes=[*classes, "a-"])
