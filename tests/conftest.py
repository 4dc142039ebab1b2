"""Fixtures for many tests: generated images, tiny options, trained runs, and scripts run in this process."""

import importlib.util
import math
import re
import shutil
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

from models.base_model import BaseModel
from options.parser import Options
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util import errors, plugins
from util.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
BARE = "--load_size 36 --crop_size 32 --ngf 8 --ndf 8 --num_threads 0 --display_id -1".split()
TINY = [*BARE, "--netG", "resnet_6blocks"]
ONCE = "--n_epochs 1 --n_epochs_decay 0 --display console,loss_log".split()
OptionMaker = Callable[..., Namespace]
# the flags besides BARE with which a noise-to-image model trains on a folder of images
LATENT = dict.fromkeys(("cgan", "biggan"), "--dataset_mode folder --n_classes 3")


def small_nets(words: Sequence[object]) -> list[str]:
    """The flags that make the `--model` among `words` small."""
    models = [str(name) for flag, name in pairwise(words) if flag == "--model"]
    name = models[-1] if models else ""
    path = plugins.files("model").get(name)
    if path is None or "latent_model" not in path.read_text():
        return TINY
    return [*BARE, *LATENT.get(name, "--dataset_mode folder").split()]


def names_all(text: str, words: Iterable[object]) -> bool:
    """Whether a text contains each of `words` (a flag, a value, a path) as a whole word."""
    return all(re.search(rf"(?<![\w-]){re.escape(str(word))}(?![\w-])", text) for word in words)


@contextmanager
def refused(*words: object, error: type[UserError] = UserError) -> Iterator[None]:
    """The block must raise `error` with a one-line message that contains each of `words`, whatever else it says."""
    with pytest.raises(error) as caught:
        yield
    sentence = str(caught.value)
    del caught  # it refers to this frame: a cycle that would keep data workers alive
    assert "\n" not in sentence and names_all(sentence, words), (words, sentence)


class DatalessModel(BaseModel):
    """A model that needs no data; subclasses and tests add networks and phases."""

    def set_input(self, batch: dict) -> None: ...

    def forward(self) -> None: ...

    def visuals(self) -> dict[str, torch.Tensor]:
        return {}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Results depend on the number of threads to the last bit, and tiny nets are fastest on one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests train with is recorded in a folder of this test session, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def draw_images(folder: Path, count: int, size: tuple[int, int] = (40, 36), seed: int = 0) -> None:
    """Write `count` PNG files of smooth random colours."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        small = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(folder / f"{index:03d}.png")


@pytest.fixture(scope="session")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unaligned data set: 6 images in trainA and trainB, 3 in testA and testB."""
    root = tmp_path_factory.mktemp("unpaired")
    for seed, name in enumerate(("trainA", "trainB", "testA", "testB")):
        draw_images(root / name, 6 if name.startswith("train") else 3, seed=seed)
    return root


@pytest.fixture(scope="session")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An aligned data set: 4 pairs of images, side by side, in train and test."""
    root = tmp_path_factory.mktemp("paired")
    for seed, name in enumerate(("train", "test")):
        draw_images(root / name, 4, size=(80, 40), seed=seed)
    return root


@pytest.fixture(scope="session")
def drawn_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images for every kind of image data set; tests change copies of it (`root`)."""
    sets = tmp_path_factory.mktemp("sets")
    for seed, name in enumerate(("trainA", "trainB", "train/x", "train/y")):
        draw_images(sets / name, 3, size=(48, 30), seed=seed)
    return sets


@pytest.fixture
def root(drawn_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `drawn_sets`; what is cached stays in the folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copytree(drawn_sets, tmp_path / "set"))


@pytest.fixture
def train_opt(tmp_path: Path) -> Callable[..., Namespace]:
    """Parse training flags for tiny nets and a run in the test's own folder."""

    def make(*words: object, dataroot: Path | str = ".") -> Namespace:
        argv = ["--dataroot", str(dataroot), "--checkpoints_dir", str(tmp_path / "runs")]
        argv += small_nets(words)
        return TrainOptions().parse(argv + [str(word) for word in words])

    return make


@pytest.fixture
def test_opt(tmp_path: Path) -> Callable[..., Namespace]:
    """Parse testing flags for runs and results in the test's own folder."""

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
    """The options that a data set of this mode and its loader read, with small images and no workers."""
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
    """Import train.py, test.py or a script under another name, since `test` is a package of Python."""
    path = ROOT / name
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_main(name: str, *words: object) -> int:
    """Run a script's main() in this process with a command line, and return its exit code."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, words)])
        try:
            return errors.run(load_script(name).main)
        except SystemExit as leaving:
            return int(leaving.code or 0)


@pytest.fixture
def run_script() -> Callable[..., int]:
    return run_main


@pytest.fixture(scope="session")
def trained(unpaired: Path, paired: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Model -> a folder with its run `r`, trained once per session for one epoch; tests that change it copy it."""

    @cache
    def train(model: str) -> Path:
        runs = tmp_path_factory.mktemp(model)
        data = paired if model == "pix2pix" else unpaired
        words = ["--model", model, "--name", "r", "--checkpoints_dir", runs, "--batch_size", 2]
        assert run_main("train.py", "--dataroot", data, *words, *small_nets(words), *ONCE) == 0
        return runs

    return train


@pytest.fixture
def trained_copy(trained: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """The same, as a copy in the test's own folder."""
    return lambda model: shutil.copytree(trained(model), tmp_path / f"{model}_runs")


def random_batch(kind: str, size: int = 4, side: int = 32, seed: int = 0) -> dict:
    """A batch of `pairs` (A, B), `colorization`, or `latent` (image, label 0 to 2), with the keys of the data sets."""
    generator = torch.Generator().manual_seed(seed)

    def images(channels: int) -> torch.Tensor:
        return torch.rand(size, channels, side, side, generator=generator) * 2 - 1

    names = [f"{index}.png" for index in range(size)]
    if kind == "latent":
        label = torch.randint(0, 3, (size,), generator=generator)
        return {"image": images(3), "label": label, "paths": names}
    channels = {"pairs": (3, 3), "colorization": (1, 2)}[kind]
    return {"A": images(channels[0]), "B": images(channels[1]), "A_paths": names, "B_paths": list(names)}
