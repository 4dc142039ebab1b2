"""Data sets that people build on ours: nothing is kept, and every item is seeded, unless they say that it repeats."""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import draw_images
from PIL import Image
from test_data_cache import options

from data import find_dataset_using_name
from data.base_dataset import BaseDataset, PixelDataset
from data.cache.disk_file import PixelFile
from data.folder_dataset import FolderDataset
from data.image_folder import image_paths, make_dataset
from data.listing.compact_paths import CompactPaths
from data.loader import Loader
from data.real_images import RealImages
from data.sources.source import ImageFiles
from data.unaligned_dataset import UnalignedDataset
from util import log

KEPT: list[dict] = [{}, {"cache": "disk"}, {"cache": "memory"}]
OURS = ["aligned", "colorization", "folder", "hdf5", "labeled", "single", "torchvision", "unaligned"]


class Brighter(ImageFiles):
    """With a flag of its own."""

    def __init__(self, paths: Sequence[str], gain: float) -> None:
        super().__init__(paths, channels=3)
        self.gain = gain

    def read(self, index: int) -> Image.Image:
        return Image.eval(super().read(index), lambda value: int(value * self.gain))


class BrightDataset(RealImages):
    def __init__(self, opt: argparse.Namespace) -> None:
        self.paths = make_dataset(Path(opt.dataroot, "train"))
        super().__init__(opt, Brighter(self.paths, opt.gain))

    def files_to_check(self) -> list[str]:
        return self.paths


class EvensDataset(UnalignedDataset):
    """Another list of paths than its base class found."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.A_paths = [path for path in self.A_paths if int(path[-5]) % 2 == 0]


class Jitter(ImageFiles):
    """Draws from the global generator."""

    def read(self, index: int) -> Image.Image:
        gain = random.random()
        return Image.eval(super().read(index), lambda value: int(200 * gain))


class JitterDataset(RealImages):
    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt, Jitter(make_dataset(Path(opt.dataroot, "train")), channels=3))


class LateDataset(RealImages):
    """Knows its files after its base class is set up."""

    def __init__(self, opt: argparse.Namespace) -> None:
        paths = make_dataset(Path(opt.dataroot, "train"))
        super().__init__(opt, ImageFiles(paths, channels=3))
        self.paths = paths

    def files_to_check(self) -> list[str]:
        return self.paths


class RepeatingDataset(FolderDataset):
    cacheable = True


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed, name in enumerate(("trainA", "trainB", "train")):
        draw_images(tmp_path / "set" / name, 3, size=(24, 20), seed=seed)
    return tmp_path / "set"


def epochs(items: BaseDataset, number: int = 2) -> list[dict]:
    loader = Loader(items, batch_size=1, seed=3)
    return [batch for epoch in range(1, number + 1) for batch in loader.epoch(epoch)]


def assert_equal(found: list[dict], expected: list[dict]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.keys() == b.keys()
        for key, value in b.items():
            assert torch.equal(a[key], value) if isinstance(value, torch.Tensor) else a[key] == value


@pytest.mark.parametrize("kept", KEPT, ids=str)
@pytest.mark.parametrize("cls", [BrightDataset, EvensDataset, JitterDataset, LateDataset])
def test_a_data_set_built_on_ours_reads_its_images_itself(root: Path, cls: type, kept: dict) -> None:
    plain = options(root, serial_batches=True, fast="off", gain=0.5)
    expected = epochs(cls(plain))
    epochs(cls(options(root, serial_batches=True, gain=1.0, **kept)))
    items = cls(options(root, serial_batches=True, gain=0.5, **kept))
    assert_equal(epochs(items), expected)
    assert items.images.store is None


def test_what_is_drawn_at_random_is_drawn_anew_and_again_in_a_second_run(root: Path) -> None:
    found = [epochs(JitterDataset(options(root, no_flip=True, seed=run))) for run in (1, 2)]
    assert_equal(*found)
    assert len({batch["image"].mean().item() for batch in found[0]}) == 6


@pytest.mark.parametrize(("kept", "flag"), [(KEPT[1], "--cache disk"), (KEPT[2], "--cache memory")])
def test_a_flag_without_effect_is_told(
    root: Path, kept: dict, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warn", said.append)
    JitterDataset(options(root, **kept))
    assert said == [f"{flag} has no effect: JitterDataset does not set `cacheable = True`"]
    JitterDataset(options(root))
    assert len(said) == 1


def test_a_class_that_says_it_repeats_is_kept(root: Path) -> None:
    items = RepeatingDataset(options(root, "folder"))
    assert items.images.store is not None
    assert isinstance(RepeatingDataset(options(root, "folder", cache="disk")).images.store, PixelFile)
    assert_equal(epochs(items), epochs(FolderDataset(options(root, "folder", fast="off"))))


@pytest.mark.parametrize("name", OURS)
def test_all_of_ours_say_it(name: str) -> None:
    cls = find_dataset_using_name(name)
    assert issubclass(cls, PixelDataset) and cls.cacheable
    assert not type("Own", (cls,), {}).cacheable


def test_the_files_are_asked_for_where_they_are_wanted_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(FolderDataset, "files_to_check", lambda self: asked.append("files") or [])
    for changed in ({}, {"cache": "off"}, {"cache": "memory"}):
        FolderDataset(options(root, "folder", **changed))
    assert not asked
    FolderDataset(options(root, "folder", cache="disk"))
    assert asked == ["files"]


def test_paths_are_added_and_compared_like_lists(root: Path) -> None:
    A, B = (image_paths(root / name) for name in ("trainA", "trainB"))
    a, b = list(A), list(B)
    assert isinstance(A, CompactPaths) and A + B == A + b == a + B == a + b
    assert type(A + B) is type(a + B) is list
    assert a == A == image_paths(root / "trainA") and a != B and A != B and A != "x"
    with pytest.raises(TypeError):
        A + "x"  # a string is a sequence of strings, too
