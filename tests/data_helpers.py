"""Helpers of the tests of data sets."""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from conftest import data_options
from PIL import Image

from data import create_dataset, find_dataset_using_name, get_option_setter
from options.parser import Parser


def cached_options(root: Path, mode: str = "unaligned", **changed: object) -> argparse.Namespace:
    drawn = {"load_size": 20, "crop_size": 12, "preprocess": "resize_and_crop", "no_flip": False}
    grey = {"input_nc": 1, "output_nc": 2} if mode == "colorization" else {}
    return data_options(root / "train" if mode == "single" else root, mode, **(drawn | grey | changed))


def dataset(opt: argparse.Namespace) -> torch.utils.data.Dataset:
    return find_dataset_using_name(opt.dataset_mode)(opt)


def batches(opt: argparse.Namespace, epochs: int = 2) -> list[dict]:
    loader = create_dataset(opt)
    return [batch for epoch in range(1, epochs + 1) for batch in loader.epoch(epoch)]


def equal(found: list[dict], expected: list[dict]) -> bool:
    images = [key for key in ("A", "B", "image") if key in expected[0]]
    return bool(images) and all(
        set(a) == set(b) and all(torch.equal(a[key], b[key]) for key in images)
        for a, b in zip(found, expected, strict=True)
    )


def read_all(items: torch.utils.data.Dataset) -> list[dict]:
    random.seed(5)
    return [items[index] for index in range(len(items))]


def draw_classes(root: Path) -> Path:
    """Three classes: the start of a path sorts `a` after `a-b`, and `c` has a sub-folder."""
    for name in ["a/1.png", "a/2.png", "a-b/3.png", "c/deep/4.png", "c/5.png", "c/6.png"]:
        draw(root / name)
    return root


def count_classes(opt: argparse.Namespace) -> int:
    return find_dataset_using_name(opt.dataset_mode).count_classes(opt)


def draw(path: Path, size: tuple[int, int] = (9, 9)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, path.name)) + size[0])
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def names(items: torch.utils.data.Dataset, root: Path) -> list[str]:
    return [Path(items[index]["paths"]).relative_to(root).as_posix() for index in range(len(items))]


def assert_cached_in_memory(opt: argparse.Namespace) -> None:
    """With --cache memory every image is loaded once."""
    expected = read_all(dataset(opt))
    opt.cache = "memory"
    items = dataset(opt)
    read_all(items)
    items.images.load_entry = None
    assert equal(read_all(items), expected)


def saved(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def parsed(mode: str, *words: str) -> argparse.Namespace:
    """The options after the data set has added its flags and changed defaults of shared ones."""
    parser = Parser("train.py", list(words))
    for name, kind, default in (("input_nc", int, 3), ("output_nc", int, 3), ("preprocess", str, "resize")):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.flag("--no_flip", "")
    get_option_setter(mode)(parser, True)
    return parser.parse_args()
