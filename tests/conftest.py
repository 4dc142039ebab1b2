"""What many tests need: a small torch, tiny options, and images drawn on the spot."""

import importlib.util
import math
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from options.test_options import TestOptions
from options.train_options import TrainOptions
from util import plugins
from util.cli.options import Options
from util.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
BARE = "--load_size 36 --crop_size 32 --ngf 8 --ndf 8 --num_threads 0 --display_id -1".split()
TINY = [*BARE, "--netG", "resnet_6blocks"]
# what a noise-to-image model needs beside BARE, if it is more than a folder, so that a test can train it
LATENT = dict.fromkeys(("cgan", "biggan"), "--dataset_mode folder --n_classes 3")


def small_nets(words: Sequence[object]) -> list[str]:
    """The words that keep the model named among `words` small."""
    models = [str(name) for flag, name in pairwise(words) if flag == "--model"]
    name = models[-1] if models else ""
    path = plugins.files("model").get(name)
    if path is None or "latent_model" not in path.read_text():
        return TINY
    return [*BARE, *LATENT.get(name, "--dataset_mode folder").split()]


def names_all(text: str, words: Iterable[object]) -> bool:
    """Whether a sentence names each of `words` (a flag, a value, a path), whatever else it says."""
    return all(re.search(rf"(?<![\w-]){re.escape(str(word))}(?![\w-])", text) for word in words)


@contextmanager
def refused(*words: object, error: type[UserError] = UserError) -> Iterator[None]:
    """The block must raise `error`, in one sentence that names each of `words`; the wording is not compared."""
    with pytest.raises(error) as caught:
        yield
    sentence = str(caught.value)
    assert "\n" not in sentence and names_all(sentence, words), (words, sentence)


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
        argv = ["--dataroot", str(dataroot), "--checkpoints_dir", str(tmp_path / "runs")]
        argv += small_nets(words)
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


@cache
def pixel_options() -> tuple[str, ...]:
    """The options that the flags declare to change pixels."""
    opt = TrainOptions().parse(["--dataroot", ".", "--display", "console"])
    return opt.pixel_options  # type: ignore[attr-defined]


def data_options(root: Path, mode: str, **changed: object) -> Namespace:
    """What a data set of this mode and its loader ask of the options: small images of training, read by this process."""
    values: dict = {
        "dataroot": str(root),
        "dataset_mode": mode,
        "phase": "train",
        "isTrain": True,
        "direction": "AtoB",
        "serial_batches": False,
        "num_threads": 0,
        "batch_size": 1,
        "load_size": 10,
        "crop_size": 8,
        "center_size": 0,
        "load_in_mem": False,
        "max_dataset_size": math.inf,
        "preprocess": "center",
        "no_flip": True,
        "input_nc": 3,
        "output_nc": 3,
        "seed": 0,
        "device": "cpu",
        "gpu_ids": "0",
        "plugin_path": [],
        "check_data": False,
        "cache": "auto",
        "fast": "auto",
    }
    opt = Options(**(values | changed))
    opt.pixel_options = pixel_options()
    return opt


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
    """A batch as the data sets make it, for `pairs` (A, B), `colorization`, or `latent` (image, label below 3)."""
    generator = torch.Generator().manual_seed(seed)

    def images(channels: int) -> torch.Tensor:
        return torch.rand(size, channels, side, side, generator=generator) * 2 - 1

    names = [f"{index}.png" for index in range(size)]
    if kind == "latent":
        label = torch.randint(0, 3, (size,), generator=generator)
        return {"image": images(3), "label": label, "paths": names}
    channels = {"pairs": (3, 3), "colorization": (1, 2)}[kind]
    return {"A": images(channels[0]), "B": images(channels[1]), "A_paths": names, "B_paths": list(names)}
