"""Data sets derived from built-in ones: not cached, and every item is seeded, unless the class is `cacheable`."""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import names_all
from data_helpers import cached_options
from PIL import Image

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

CACHES: list[dict] = [{}, {"cache": "disk"}, {"cache": "memory"}]
BUILT_IN = ["aligned", "colorization", "folder", "hdf5", "labeled", "single", "torchvision", "unaligned"]


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


def epochs(items: BaseDataset, number: int = 2) -> list[dict]:
    loader = Loader(items, batch_size=1, seed=3)
    return [batch for epoch in range(1, number + 1) for batch in loader.epoch(epoch)]


def assert_equal(found: list[dict], expected: list[dict]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.keys() == b.keys()
        for key, value in b.items():
            assert torch.equal(a[key], value) if isinstance(value, torch.Tensor) else a[key] == value


@pytest.mark.parametrize("cache_flags", CACHES, ids=str)
@pytest.mark.parametrize("cls", [BrightDataset, EvensDataset, JitterDataset, LateDataset])
def test_images_of_a_derived_data_set_are_not_cached(root: Path, cls: type, cache_flags: dict) -> None:
    uncached = cached_options(root, serial_batches=True, fast="off", gain=0.5)
    expected = epochs(cls(uncached))
    epochs(cls(cached_options(root, serial_batches=True, gain=1.0, **cache_flags)))
    items = cls(cached_options(root, serial_batches=True, gain=0.5, **cache_flags))
    assert_equal(epochs(items), expected)
    assert items.images.store is None


def test_random_numbers_differ_between_items_and_repeat_in_a_second_run(root: Path) -> None:
    found = [epochs(JitterDataset(cached_options(root, no_flip=True, seed=run))) for run in (1, 2)]
    assert_equal(*found)
    assert len({batch["image"].mean().item() for batch in found[0]}) == 12


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr(log, "warn", messages.append)
    return messages


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_a_cache_flag_without_effect_causes_a_warning(root: Path, cache: str, warnings: list[str]) -> None:
    JitterDataset(cached_options(root, cache=cache))
    assert len(warnings) == 1 and names_all(warnings[0], [f"--cache {cache}", "JitterDataset", "cacheable"])
    JitterDataset(cached_options(root))
    assert len(warnings) == 1


def test_a_cacheable_class_is_cached(root: Path) -> None:
    items = RepeatingDataset(cached_options(root, "folder"))
    assert items.images.store is not None
    assert isinstance(RepeatingDataset(cached_options(root, "folder", cache="disk")).images.store, PixelFile)
    assert_equal(epochs(items), epochs(FolderDataset(cached_options(root, "folder", fast="off"))))


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_data_sets_are_cacheable_and_subclasses_are_not(name: str) -> None:
    cls = find_dataset_using_name(name)
    assert issubclass(cls, PixelDataset) and cls.cacheable
    assert not type("Own", (cls,), {}).cacheable


def test_files_are_listed_only_for_the_disk_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(FolderDataset, "files_to_check", lambda self: calls.append("files") or [])
    for changed in ({}, {"cache": "off"}, {"cache": "memory"}):
        FolderDataset(cached_options(root, "folder", **changed))
    assert not calls
    FolderDataset(cached_options(root, "folder", cache="disk"))
    assert calls == ["files"]


def test_compact_paths_are_added_and_compared_like_lists(root: Path) -> None:
    A, B = (image_paths(root / name) for name in ("trainA", "trainB"))
    a, b = list(A), list(B)
    assert isinstance(A, CompactPaths) and A + B == A + b == a + B == a + b
    assert type(A + B) is type(a + B) is list
    assert a == A == image_paths(root / "trainA") and a != B and A != B and A != "x"
    with pytest.raises(TypeError):
        A + "x"  # a string is a sequence of strings, too


def test_the_former_name_of_cacheable_works_with_a_warning(warnings: list[str]) -> None:
    assert type("OldDataset", (FolderDataset,), {"repeats": True}).cacheable
    assert len(warnings) == 1 and names_all(warnings[0], ["OldDataset", "`repeats`", "`cacheable`"])


def test_load_in_mem_is_cache_memory(root: Path, warnings: list[str]) -> None:
    items = FolderDataset(cached_options(root, "folder", load_in_mem=True, fast="off"))
    assert items.images.store is not None and names_all(warnings[0], ["--load_in_mem", "--cache memory"])
