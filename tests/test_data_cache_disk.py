"""--cache disk: the file has the pixels of uncached images and is never outdated, damaged or partial."""

import argparse
import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import names_all, refused
from data_helpers import batches, cached_options, dataset, equal, read_all
from PIL import Image

from data.cache import choose_store, disk_file, prepared_images
from data.cache.disk_file import PixelFile, cached_file
from data.cache.prepared_images import PreparedImages
from data.cache.shared_memory import SharedPixels
from data.folder_dataset import FolderDataset
from util import log
from util.cache_folder import cache_folder


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log, "info", lines.append)
    monkeypatch.setattr(log, "warn", lines.append)
    return lines


def files_written(messages: list[str]) -> int:
    return sum("preparing" in line for line in messages)


def the_file() -> Path:
    (path,) = (path for path in cache_folder("pixels").iterdir() if not path.suffix)
    return path


def test_the_file_is_written_once_and_then_read(root: Path, messages: list[str]) -> None:
    opt = cached_options(root, cache="disk", serial_batches=True)
    first = read_all(dataset(opt))
    assert files_written(messages) == 1 and len(list(cache_folder("pixels").iterdir())) == 2
    items = dataset(opt)
    items.images.load_entry = None
    assert equal(read_all(items), first) and files_written(messages) == 1
    copy = pickle.loads(pickle.dumps(items))
    assert equal(read_all(copy), first)


def change_without_trace(path: Path) -> None:
    """Write other bytes and keep the name, the size and the modification time."""
    status = path.stat()
    path.write_bytes((path.parent / "002.png").read_bytes().ljust(status.st_size, b"\0")[: status.st_size])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "other pixels": lambda path: Image.new("RGB", (48, 30), "red").save(path),
    "other pixels with the same size and time": change_without_trace,
    "a new time": lambda path: os.utime(path, ns=(1, 1)),
    "a new name": lambda path: path.rename(path.with_name("009.png")),
    "one less": lambda path: path.unlink(),
    "another version of Pillow": lambda path: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_replaces_the_file(
    root: Path, change: str, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opt = cached_options(root, cache="disk", serial_batches=True)
    dataset(opt)
    CHANGES[change](root / "trainA" / "001.png")
    if change == "another version of Pillow":
        monkeypatch.setattr(disk_file.PIL, "__version__", "0")
    found = read_all(dataset(opt))
    assert files_written(messages) == 2 and len(list(cache_folder("pixels").iterdir())) == 2
    assert equal(found, read_all(dataset(cached_options(root, fast="off", serial_batches=True))))


@pytest.mark.parametrize(
    "flag", ["dataset_mode", "phase", "input_nc", "output_nc", "direction", "max_dataset_size", "dataroot"]
)
def test_every_flag_that_changes_pixels_has_its_own_file(
    root: Path, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, identities = dataset(cached_options(root)), []
    monkeypatch.setattr(
        prepared_images, "choose_store", lambda *_, identity, **__: identities.append(identity)
    )
    for changed in ({}, {}, {flag: "other"}):
        items.opt = cached_options(root, **changed)
        PreparedImages(items, items.images.preprocess, items._load, str, 1)
    assert identities[0] == identities[1] != identities[2]


def test_other_sizes_have_their_own_file(root: Path, messages: list[str]) -> None:
    for changed in ({}, {"load_size": 18}, {"preprocess": "resize"}, {"input_nc": 1}, {}, {"no_flip": True}):
        opt = cached_options(root, cache="disk", serial_batches=True, **changed)
        uncached = cached_options(root, fast="off", serial_batches=True, **changed)
        assert equal(read_all(dataset(opt)), read_all(dataset(uncached)))
    assert files_written(messages) == 4


def flip_byte(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 255]))


DAMAGE: dict[str, tuple[Callable[[Path], object], int]] = {
    "empty": (lambda path: path.write_bytes(b""), 2),
    "cut": (lambda path: os.truncate(path, path.stat().st_size - 100), 2),
    "the first pixel": (lambda path: flip_byte(path, 0), 1),
    "the table": (lambda path: flip_byte(path, -40), 2),
    "the checksum": (lambda path: flip_byte(path, -8), 2),
    "pixels": (lambda path: [flip_byte(path, place) for place in range(0, 1200, 7)], 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_detected(root: Path, damage: str, messages: list[str]) -> None:
    opt = cached_options(root, cache="disk", serial_batches=True)
    first = read_all(dataset(opt))
    DAMAGE[damage][0](the_file())
    assert equal(read_all(dataset(opt)), first)
    assert files_written(messages) == DAMAGE[damage][1]


def test_an_interrupted_write_leaves_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opt, make = cached_options(root, cache="disk"), disk_file._digest

    def killed(*_: bytes) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(disk_file, "_digest", killed)
    with pytest.raises(KeyboardInterrupt):
        dataset(opt)
    assert [path.suffix for path in cache_folder("pixels").iterdir()] == [".lock"]
    monkeypatch.setattr(disk_file, "_digest", make)
    assert isinstance(dataset(opt).images.store, PixelFile)
    assert len(list(cache_folder("pixels").iterdir())) == 2


def test_the_draft_of_a_killed_run_is_truncated_before_the_free_space_is_checked(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt, usage, left = cached_options(root, cache="disk"), shutil.disk_usage, []
    dataset(opt)
    path = the_file()
    draft = path.rename(path.with_name(f".{path.name}.tmp"))

    def measured(folder: Path) -> object:
        left.append(draft.stat().st_size)
        return usage(folder)

    monkeypatch.setattr(choose_store.shutil, "disk_usage", measured)
    dataset(opt)
    assert path.exists() and not draft.exists() and left == [0]


def test_images_that_are_not_files_are_cached_in_memory_with_a_warning(
    root: Path, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderDataset, "files_to_check", lambda self: [])  # as those of hdf5 and torchvision
    items = dataset(cached_options(root, "folder", cache="disk"))
    assert isinstance(items.images.store, SharedPixels)
    assert len(messages) == 1 and names_all(messages[0], ["--cache disk", "--cache auto"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_one_of_several_processes_writes_the_file(root: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"

    def images() -> list[np.ndarray]:
        with made.open("a") as file:
            file.write("x")
        time.sleep(0.2)  # the other processes arrive in the meantime
        return [np.full((1, 2, 2), number, np.uint8) for number in range(3)]

    def child() -> bool:
        file = cached_file(tmp_path / "made_once", images, 3, fingerprint=b"f" * 32)
        return [int(file.get(number)[0, 0, 0]) for number in range(3)] == [0, 1, 2]

    children = []
    for _ in range(4):
        child_id = os.fork()
        if not child_id:
            try:
                os._exit(0 if child() else 1)
            finally:  # an error must not let the child continue the test session
                os._exit(2)
        children.append(child_id)
    assert [os.waitpid(child_id, 0)[1] for child_id in children] == [0] * 4
    assert made.read_text() == "x"


@pytest.mark.parametrize("where", ["writing", "before", "no folder"])
def test_a_full_disk_causes_a_warning_and_memory_is_used(
    root: Path, where: str, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "writing":
        monkeypatch.setattr(os, "fsync", full)
    elif where == "before":
        monkeypatch.setattr(choose_store.shutil, "disk_usage", lambda folder: argparse.Namespace(free=100))
    else:
        (root.parent / "cache").touch()
    uncached = batches(cached_options(root, fast="off"))
    assert equal(batches(cached_options(root, cache="disk")), uncached)
    assert sum(names_all(line, ["--cache disk"]) for line in messages) == 1
    assert not [path for path in cache_folder("pixels").glob("*") if not path.suffix]


def test_a_broken_image_is_reported_when_it_is_read(root: Path) -> None:
    (root / "trainA" / "001.png").write_bytes(b"no image")
    items = dataset(cached_options(root, cache="disk", serial_batches=True))
    assert isinstance(items.images.store, PixelFile)
    assert items[0]["A"].shape == items[2]["A"].shape == (3, 12, 12)
    with refused("trainA/001.png"):
        items[1]
