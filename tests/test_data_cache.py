"""Kept images have the pixels of the plain path, in memory and on disk, and nothing stale or broken is believed."""

import argparse
import os
import pickle
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, draw_images
from PIL import Image

from data import create_dataset, find_dataset_using_name
from data.cache import choose_store, disk_file, free_memory, prepared_images, shared_memory
from data.cache.disk_file import PixelFile, cached_file, fingerprint_of
from data.cache.prepared_images import PreparedImages
from data.cache.shared_memory import SharedPixels
from data.folder_dataset import FolderDataset
from data.transforms import MODES
from util import cpu_count, log
from util.cache_folder import cache_folder
from util.errors import UserError

MODE_NAMES = ["unaligned", "aligned", "single", "colorization", "folder", "labeled"]


def options(root: Path, mode: str = "unaligned", **changed: object) -> argparse.Namespace:
    drawn = {"load_size": 20, "crop_size": 12, "preprocess": "resize_and_crop", "no_flip": False}
    grey = {"input_nc": 1, "output_nc": 2} if mode == "colorization" else {}
    return data_options(root / "train" if mode == "single" else root, mode, **(drawn | grey | changed))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images for every kind of data set; what is cached stays in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed, name in enumerate(("trainA", "trainB", "train/x", "train/y")):
        draw_images(tmp_path / "set" / name, 3, size=(48, 30), seed=seed)
    return tmp_path / "set"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log, "info", lines.append)
    monkeypatch.setattr(log, "warn", lines.append)
    return lines


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


def built(said: list[str]) -> int:
    return sum("preparing" in line for line in said)


# ---------------------------------------------------------------------- pixels


@pytest.mark.parametrize("cache", ["auto", "disk"])
@pytest.mark.parametrize("mode", MODE_NAMES)
def test_every_kind_of_data_set_gives_the_pixels_of_the_plain_path(root: Path, mode: str, cache: str) -> None:
    plain = batches(options(root, mode, fast="off"))
    assert equal(batches(options(root, mode, cache=cache)), plain)
    assert equal(batches(options(root, mode, cache=cache, num_threads=2)), plain)


@pytest.mark.parametrize("preprocess", MODES)
@pytest.mark.parametrize("mode", ["aligned", "folder"])
def test_every_way_of_preprocessing_gives_the_pixels_of_the_plain_path(
    root: Path, mode: str, preprocess: str
) -> None:
    changed = {"preprocess": preprocess, "load_size": 21}
    if mode == "folder":
        changed |= {"output_nc": 4}
    plain = batches(options(root, mode, fast="off", **changed))
    assert equal(batches(options(root, mode, **changed)), plain)
    assert len({batch[key].sum().item() for batch in plain for key in batch if key in ("A", "image")}) > 2


def test_grey_and_colour_are_kept_side_by_side(root: Path) -> None:
    changed = {"input_nc": 1, "direction": "BtoA"}
    found = batches(options(root, **changed))
    assert equal(found, batches(options(root, fast="off", **changed)))
    assert (found[0]["A"].shape[1], found[0]["B"].shape[1]) == (3, 1)


def test_an_image_smaller_than_the_crop_is_named_from_the_cache_too(root: Path) -> None:
    items = dataset(options(root, preprocess="crop", crop_size=31))
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"000\.png has 48x30 pixels before cropping, less than --crop_size 31"
        ):
            items[0]


# ---------------------------------------------------------------------- memory


@pytest.mark.parametrize("mode", MODE_NAMES)
def test_files_are_read_once(root: Path, mode: str) -> None:
    items = dataset(options(root, mode, serial_batches=True))
    first = read_all(items)
    shutil.rmtree(root)
    assert equal(read_all(items), first)


def test_workers_fill_one_memory_together(root: Path) -> None:
    loader = create_dataset(options(root, num_threads=2, serial_batches=True))
    list(loader.epoch(1))
    store = loader.dataset.images.store
    assert all(store.get(number) is not None for number in range(6))
    assert store._end[0] - 8 * (1 + 4 * 6) == 6 * 20 * 20 * 3


def test_the_budget_is_kept_and_the_rest_is_read_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_store, "share_of_memory", lambda: 4 * 20 * 20 * 3 + 5)
    items = dataset(options(root, serial_batches=True))
    first = read_all(items)
    assert sum(items.images.store.get(number) is not None for number in range(6)) == 4
    assert equal(read_all(items), first)
    assert equal(first, read_all(dataset(options(root, serial_batches=True, fast="off"))))


def test_the_share_of_memory_is_divided_among_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "available_bytes", lambda: 800)
    assert free_memory.share_of_memory() == 200
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory.share_of_memory() == 50
    monkeypatch.setattr(free_memory, "available_bytes", lambda: None)
    assert free_memory.share_of_memory() == 0


def test_it_is_off_where_it_is_not_wanted_or_memory_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[dict] = [
        {"cache": "off"},
        {"fast": "off"},
        {"isTrain": False},
        {"fast": "off", "cache": "disk"},
    ]
    assert all(dataset(options(root, **changed)).images.store is None for changed in changes)
    assert isinstance(dataset(options(root, "folder", cache="memory", fast="off")).images.store, SharedPixels)

    def refused(count: int, capacity: int) -> SharedPixels:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(choose_store, "SharedPixels", refused)
    assert dataset(options(root)).images.store is None


def test_a_store_gives_what_it_got_and_a_pickled_copy_nothing() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    store = SharedPixels(2, 24)
    store.put(1, pixels)
    store.put(0, pixels[:1])
    assert store.get(0) is None and np.array_equal(store.get(1), pixels)
    copy = pickle.loads(pickle.dumps(store))
    copy.put(1, pixels)
    assert len(copy) == 2 and copy.get(1) is None


def test_what_is_kept_already_takes_no_new_room() -> None:
    store, big, small = SharedPixels(2, 100), np.zeros((1, 30, 30), np.uint8), np.ones((1, 4, 5), np.uint8)
    for _ in range(9):
        store.put(0, big)
        store.put(1, small)
    store.put(0, small * 2)
    assert store.get(0).max() == 2 and store.get(1).max() == 1


def test_a_worker_killed_while_it_puts_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "WAIT_S", 0.01)
    store, pixels = SharedPixels(2, 100), np.ones((1, 2, 2), np.uint8)
    store._lock.acquire()  # which a killed one never gives back
    store.put(0, pixels)
    store._lock.release()
    store.put(1, pixels)
    assert store.get(0) is None and np.array_equal(store.get(1), pixels)


def test_the_start_method_of_workers_does_not_matter(root: Path) -> None:
    before = torch.multiprocessing.get_start_method()
    torch.multiprocessing.set_start_method("spawn", force=True)
    try:
        loader = create_dataset(options(root, num_threads=1, serial_batches=True))
        list(loader.epoch(1))
    finally:
        torch.multiprocessing.set_start_method(before, force=True)
    found = [loader.dataset.images.store.get(number) is not None for number in range(6)]
    assert found == [sys.platform == "linux"] * 6  # elsewhere memory is not shared


def test_an_item_is_no_part_of_the_memory(root: Path) -> None:
    items = dataset(options(root, preprocess="resize", no_flip=True))
    rng = random.Random(0)
    before = items.read(0, rng)["A"].clone()
    items.read(0, rng)["A"].zero_()
    assert before.any() and torch.equal(items.read(0, rng)["A"], before)


# ---------------------------------------------------------------------- disk


def the_file() -> Path:
    (path,) = (path for path in cache_folder("pixels").iterdir() if not path.suffix)
    return path


def test_the_file_is_made_once_and_then_read_alone(root: Path, said: list[str]) -> None:
    opt = options(root, cache="disk", serial_batches=True)
    first = read_all(dataset(opt))
    assert built(said) == 1 and len(list(cache_folder("pixels").iterdir())) == 2
    items = dataset(opt)
    items.images.load_entry = None
    assert equal(read_all(items), first) and built(said) == 1
    copy = pickle.loads(pickle.dumps(items))
    assert equal(read_all(copy), first)


def change_in_secret(path: Path) -> None:
    """Other bytes under the same name, size and time."""
    found = path.stat()
    path.write_bytes((path.parent / "002.png").read_bytes().ljust(found.st_size, b"\0")[: found.st_size])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "other pixels": lambda path: Image.new("RGB", (48, 30), "red").save(path),
    "other pixels in secret": change_in_secret,
    "a new time": lambda path: os.utime(path, ns=(1, 1)),
    "a new name": lambda path: path.rename(path.with_name("009.png")),
    "one less": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_makes_the_file_anew_in_its_place(root: Path, change: str, said: list[str]) -> None:
    opt = options(root, cache="disk", serial_batches=True)
    dataset(opt)
    CHANGES[change](root / "trainA" / "001.png")
    found = read_all(dataset(opt))
    assert built(said) == 2 and len(list(cache_folder("pixels").iterdir())) == 2
    assert equal(found, read_all(dataset(options(root, fast="off", serial_batches=True))))


@pytest.mark.parametrize(
    "flag", ["dataset_mode", "phase", "input_nc", "output_nc", "direction", "max_dataset_size", "dataroot"]
)
def test_every_flag_that_shapes_images_has_its_own_file(
    root: Path, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, identities = dataset(options(root)), []
    monkeypatch.setattr(
        prepared_images, "choose_store", lambda *_, identity, **__: identities.append(identity)
    )
    for changed in ({}, {}, {flag: "other"}):
        items.opt = options(root, **changed)
        PreparedImages(items, items.images.preprocess, items._load, str, 1)
    assert identities[0] == identities[1] != identities[2]


def test_another_pillow_makes_the_file_anew(
    root: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opt = options(root, cache="disk")
    dataset(opt)
    monkeypatch.setattr(disk_file.PIL, "__version__", "0")
    dataset(opt)
    assert built(said) == 2


def test_other_sizes_have_their_own_file(root: Path, said: list[str]) -> None:
    for changed in ({}, {"load_size": 18}, {"preprocess": "resize"}, {"input_nc": 1}, {}, {"no_flip": True}):
        opt = options(root, cache="disk", serial_batches=True, **changed)
        plain = options(root, fast="off", serial_batches=True, **changed)
        assert equal(read_all(dataset(opt)), read_all(dataset(plain)))
    assert built(said) == 4


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
def test_a_damaged_file_is_not_believed(root: Path, damage: str, said: list[str]) -> None:
    opt = options(root, cache="disk", serial_batches=True)
    first = read_all(dataset(opt))
    DAMAGE[damage][0](the_file())
    assert equal(read_all(dataset(opt)), first)
    assert built(said) == DAMAGE[damage][1]


def test_half_a_file_is_never_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opt, make = options(root, cache="disk"), disk_file._digest

    def killed(*_: bytes) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(disk_file, "_digest", killed)
    with pytest.raises(KeyboardInterrupt):
        dataset(opt)
    assert [path.suffix for path in cache_folder("pixels").iterdir()] == [".lock"]
    monkeypatch.setattr(disk_file, "_digest", make)
    assert isinstance(dataset(opt).images.store, PixelFile)
    assert len(list(cache_folder("pixels").iterdir())) == 2


def test_what_a_killed_preparation_left_makes_room_before_the_disk_is_measured(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opt, usage, left = options(root, cache="disk"), shutil.disk_usage, []
    dataset(opt)
    path = the_file()
    draft = path.rename(path.with_name(f".{path.name}.tmp"))

    def measured(folder: Path) -> object:
        left.append(draft.stat().st_size)
        return usage(folder)

    monkeypatch.setattr(choose_store.shutil, "disk_usage", measured)
    dataset(opt)
    assert path.exists() and not draft.exists() and left == [0]


def test_images_that_are_no_files_are_kept_in_memory_with_a_warning(
    root: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderDataset, "files_to_check", lambda self: [])  # as those of hdf5 and torchvision
    items = dataset(options(root, "folder", cache="disk"))
    assert isinstance(items.images.store, SharedPixels)
    assert said == [
        "--cache disk is not possible: this data set does not consist of image files; "
        "the memory is used as with --cache auto"
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_several_processes_make_one_file(root: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"

    def images() -> list[np.ndarray]:
        with made.open("a") as file:
            file.write("x")
        time.sleep(0.2)  # the others come meanwhile
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
def test_a_full_disk_costs_a_warning(
    root: Path, where: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if where == "writing":
        monkeypatch.setattr(os, "fsync", full)
    elif where == "before":
        monkeypatch.setattr(choose_store.shutil, "disk_usage", lambda folder: argparse.Namespace(free=100))
    else:
        (root.parent / "cache").touch()
    plain = batches(options(root, fast="off"))
    assert equal(batches(options(root, cache="disk")), plain)
    warnings = [line for line in said if line.startswith("--cache disk ")]
    assert len(warnings) == 1 and "memory" in warnings[0]
    assert not cache_folder("pixels").is_dir() or not [
        path for path in cache_folder("pixels").iterdir() if not path.suffix
    ]


def test_a_broken_image_is_told_in_its_turn(root: Path) -> None:
    (root / "trainA" / "001.png").write_bytes(b"no image")
    items = dataset(options(root, cache="disk", serial_batches=True))
    assert isinstance(items.images.store, PixelFile)
    assert items[0]["A"].shape == items[2]["A"].shape == (3, 12, 12)
    with pytest.raises(UserError, match=r"trainA/001\.png cannot be read as an image"):
        items[1]


def test_the_fingerprint_knows_identity_names_and_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    prints = {fingerprint_of("x", [a, b]), fingerprint_of("y", [a, b]), fingerprint_of("x", [b, a])}
    assert len(prints | {fingerprint_of("x", [a])}) == 4 and fingerprint_of("x", [a, b]) in prints


# ---------------------------------------------------------------------- --num_threads


def test_workers_are_chosen_by_cores_and_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    chosen = {}
    for count in (1, 2, 6, 64):
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda process, count=count: set(range(count)), raising=False
        )
        chosen[count] = [cpu_count.default_num_threads(cached=cached) for cached in (True, False)]
    assert chosen == {1: [0, 0], 2: [1, 1], 6: [4, 5], 64: [4, 8]}
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert cpu_count.default_num_threads(cached=True) == 3


@pytest.mark.parametrize(
    ("words", "number"),
    [((), 5), (("--num_threads", "2"), 2), (("--fast", "off"), 6), (("--cache", "off"), 6)],
)
def test_the_options_hold_the_number_that_was_chosen(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], number: int
) -> None:
    from options import base_options
    from options.train_options import TrainOptions

    monkeypatch.setattr(base_options, "default_num_threads", lambda *, cached: 5 if cached else 6)
    options = TrainOptions()
    opt = options.parse(["--dataroot", ".", "--display", "console", *words])
    assert opt.num_threads == number and f"num_threads: {number} " in options.describe(opt)
