"""What many tests need: a small torch, tiny options, and images drawn on the spot."""

import importlib.util
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from options.test_options import TestOptions
from options.train_options import TrainOptions

ROOT = Path(__file__).resolve().parent.parent
TINY = "--load_size 36 --crop_size 32 --netG resnet_6blocks --ngf 8 --ndf 8 --num_threads 0 --display_id -1".split()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Bit-for-bit tests compare runs of one process; tiny nets are fastest on one thread."""
    torch.set_num_threads(1)


def draw_images(folder: Path, count: int, size: tuple[int, int] = (40, 36), seed: int = 0) -> None:
    """`count` JPEG-like PNG files of smooth random colours."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(folder / f"{index:03d}.png")


@pytest.fixture(scope="session")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with trainA, trainB, testA, testB."""
    root = tmp_path_factory.mktemp("unpaired")
    for seed, name in enumerate(("trainA", "trainB", "testA", "testB")):
        draw_images(root / name, 6 if name.startswith("train") else 3, seed=seed)
    return root


@pytest.fixture(scope="session")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train and test, files side by side."""
    root = tmp_path_factory.mktemp("paired")
    for seed, name in enumerate(("train", "test")):
        draw_images(root / name, 4, size=(80, 40), seed=seed)
    return root


@pytest.fixture
def train_opt(tmp_path: Path) -> Callable[..., Namespace]:
    """Options of training from words, tiny nets, runs kept in the test's own folder."""

    def make(*words: object, dataroot: Path | str = ".") -> Namespace:
        argv = ["--dataroot", str(dataroot), "--checkpoints_dir", str(tmp_path / "runs"), *TINY]
        return TrainOptions().parse(argv + [str(word) for word in words])

    return make


@pytest.fixture
def test_opt(tmp_path: Path) -> Callable[..., Namespace]:
    """Options of testing from words."""

    def make(*words: object, dataroot: Path | str = ".") -> Namespace:
        argv = ["--dataroot", str(dataroot), "--checkpoints_dir", str(tmp_path / "runs")]
        argv += ["--results_dir", str(tmp_path / "results")]
        return TestOptions().parse(argv + [str(word) for word in words])

    return make


def load_script(name: str) -> ModuleType:
    """train.py, test.py or a script as a module of its own (`test` is a package of Python's)."""
    path = ROOT / name
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a script's main() in this process with a command line; its exit code."""
    from util import errors

    def run(name: str, *words: object) -> int:
        monkeypatch.setattr(sys, "argv", [name, *(str(word) for word in words)])
        try:
            return errors.run(load_script(name).main)
        except SystemExit as leaving:
            return int(leaving.code or 0)

    return run


def random_batch(kind: str, size: int = 4, side: int = 32, seed: int = 0) -> dict:
    """A batch as the data sets make it, for `pairs` (A, B) or `colorization`."""
    generator = torch.Generator().manual_seed(seed)
    channels = {"pairs": (3, 3), "colorization": (1, 2)}[kind]
    A, B = (torch.rand(size, c, side, side, generator=generator) * 2 - 1 for c in channels)
    names = [f"{index}.png" for index in range(size)]
    return {"A": A, "B": B, "A_paths": names, "B_paths": list(names)}
