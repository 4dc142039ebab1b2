"""Images cached in memory have the same pixels as uncached ones, and respect the limits of the memory."""

import pickle
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, refused
from data_helpers import batches, cached_options, dataset, equal, read_all

from data import create_dataset
from data.cache import choose_store, shared_memory
from data.cache.shared_memory import SharedPixels
from options.checks import PREPROCESS
from util import free_memory
from util.free_memory import available_bytes

MODE_NAMES = ["unaligned", "aligned", "single", "colorization", "folder", "labeled"]


@pytest.mark.parametrize("cache", ["auto", "disk"])
@pytest.mark.parametrize("mode", MODE_NAMES)
def test_cached_images_have_the_pixels_of_uncached_ones(root: Path, mode: str, cache: str) -> None:
    uncached = batches(cached_options(root, mode, fast="off"))
    assert equal(batches(cached_options(root, mode, cache=cache)), uncached)
    assert equal(batches(cached_options(root, mode, cache=cache, num_threads=2)), uncached)


@pytest.mark.parametrize("preprocess", PREPROCESS)
@pytest.mark.parametrize(("mode", "cache"), [("aligned", "auto"), ("folder", "auto"), ("folder", "memory")])
def test_cached_images_have_the_same_pixels_in_every_preprocess_mode(
    root: Path, mode: str, cache: str, preprocess: str
) -> None:
    changed = {"preprocess": preprocess, "load_size": 21, "output_nc": 4 if mode == "folder" else 3}
    uncached = batches(cached_options(root, mode, fast="off", **changed))
    assert equal(batches(cached_options(root, mode, cache=cache, **changed)), uncached)
    assert len({batch[key].sum().item() for batch in uncached for key in batch if key in ("A", "image")}) > 2


def test_grey_and_colour_images_share_a_cache(root: Path) -> None:
    changed = {"input_nc": 1, "direction": "BtoA"}
    found = batches(cached_options(root, **changed))
    assert equal(found, batches(cached_options(root, fast="off", **changed)))
    assert (found[0]["A"].shape[1], found[0]["B"].shape[1]) == (3, 1)


@pytest.mark.parametrize("mode", MODE_NAMES)
def test_each_file_is_read_once(root: Path, mode: str) -> None:
    items = dataset(cached_options(root, mode, serial_batches=True))
    first = read_all(items)
    shutil.rmtree(root)
    assert equal(read_all(items), first)


def test_images_beyond_the_budget_are_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_store, "share_of_memory", lambda: 4 * 20 * 20 * 3 + 5)
    items = dataset(cached_options(root, serial_batches=True))
    first = read_all(items)
    assert sum(items.images.store.get(number) is not None for number in range(6)) == 4
    assert equal(read_all(items), first)
    assert equal(first, read_all(dataset(cached_options(root, serial_batches=True, fast="off"))))


def test_the_budget_is_divided_among_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "available_bytes", lambda: 800)
    assert free_memory.share_of_memory() == 200
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory.share_of_memory() == 50
    monkeypatch.setattr(free_memory, "available_bytes", lambda: None)
    assert free_memory.share_of_memory() == 0


def test_nothing_is_cached_if_disabled_or_if_memory_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changed in ({"cache": "off"}, {"fast": "off"}, {"isTrain": False}, {"fast": "off", "cache": "disk"}):
        assert dataset(cached_options(root, **changed)).images.store is None
    items = dataset(cached_options(root, "folder", cache="memory", fast="off"))
    assert isinstance(items.images.store, SharedPixels)

    def no_memory(count: int, capacity: int) -> SharedPixels:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(choose_store, "SharedPixels", no_memory)
    assert dataset(cached_options(root)).images.store is None
    with refused("--cache memory", "Cannot allocate memory"):
        dataset(data_options(root, "folder", cache="memory"))


def test_a_store_returns_its_images_and_a_pickled_copy_is_empty() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    store = SharedPixels(2, 24)
    store.put(1, pixels)
    store.put(0, pixels[:1])
    assert store.get(0) is None and np.array_equal(store.get(1), pixels)
    copy = pickle.loads(pickle.dumps(store))
    copy.put(1, pixels)
    assert len(copy) == 2 and copy.get(1) is None


def test_storing_an_image_twice_takes_no_more_memory() -> None:
    store, big, small = SharedPixels(2, 100), np.zeros((1, 30, 30), np.uint8), np.ones((1, 4, 5), np.uint8)
    for _ in range(9):
        store.put(0, big)
        store.put(1, small)
    store.put(0, small * 2)
    assert store.get(0).max() == 2 and store.get(1).max() == 1


def test_a_lock_that_a_killed_worker_holds_does_not_block_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "WAIT_S", 0.01)
    store, pixels = SharedPixels(2, 100), np.ones((1, 2, 2), np.uint8)
    store._lock.acquire()  # as by a worker that was killed
    store.put(0, pixels)
    store._lock.release()
    store.put(1, pixels)
    assert store.get(0) is None and np.array_equal(store.get(1), pixels)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is not shared on other systems")
def test_workers_share_one_cache_whatever_the_default_start_method(root: Path) -> None:
    before = torch.multiprocessing.get_start_method()
    torch.multiprocessing.set_start_method("spawn", force=True)
    try:
        loader = create_dataset(cached_options(root, num_threads=2, serial_batches=True))
        list(loader.epoch(1))
    finally:
        torch.multiprocessing.set_start_method(before, force=True)
    store = loader.dataset.images.store
    assert [store.get(number) is not None for number in range(6)] == [True] * 6
    assert store._end[0] - 8 * (1 + 4 * 6) == 6 * 20 * 20 * 3


def test_modifying_an_item_does_not_change_the_cache(root: Path) -> None:
    items = dataset(cached_options(root, preprocess="resize", no_flip=True))
    rng = random.Random(0)
    before = items.read(0, rng)["A"].clone()
    items.read(0, rng)["A"].zero_()
    assert before.any() and torch.equal(items.read(0, rng)["A"], before)


def test_cache_memory_keeps_images_and_labels(root: Path) -> None:
    opt = data_options(root, "labeled", cache="memory", n_classes=3, max_dataset_size=4)
    items = dataset(opt)
    expected = [items[index] for index in range(4)]
    shutil.rmtree(root)
    for index in range(4):
        assert torch.equal(items[index]["image"], expected[index]["image"])
        assert torch.equal(items[index]["label"], expected[index]["label"])


def test_cache_memory_requires_enough_free_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opt = data_options(root, "folder", cache="memory")
    needed = 6 * 8 * 8 * 3
    monkeypatch.setattr(choose_store, "available_bytes", lambda: needed - 1)
    with refused("--cache memory", 6):
        dataset(opt)
    for enough in (needed, None):
        monkeypatch.setattr(choose_store, "available_bytes", lambda enough=enough: enough)
        assert len(dataset(opt).images.store) == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(choose_store, "available_bytes", lambda: 2 * needed - 1)
    with refused("--cache memory", "--max_dataset_size"):
        dataset(opt)


def test_cache_memory_reserves_no_more_than_it_may_need(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opt, capacities = data_options(root, "folder", cache="memory"), []
    monkeypatch.setattr(choose_store, "SharedPixels", lambda count, capacity: capacities.append(capacity))
    for available in (10**15, 5000, None):
        monkeypatch.setattr(choose_store, "available_bytes", lambda available=available: available)
        dataset(opt)
    needed = 6 * 8 * 8 * 3
    assert capacities == [2 * needed + choose_store.MARGIN, 5000, 2 * needed + choose_store.MARGIN]


def test_available_memory_respects_cgroup_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "CGROUPS", tmp_path)
    (tmp_path / "own").write_text("12:cpu,cpuacct:/else\n0::/job/step\n")
    monkeypatch.setattr(free_memory, "OWN_CGROUP", tmp_path / "own")
    free = available_bytes()
    assert free is None or free > 10**6
    group = tmp_path / "job"
    (group / "step").mkdir(parents=True)
    stat = "anon 5\nactive_file 100\ninactive_file 20"
    for name, text in {"max": "1000000", "current": "700000", "stat": stat}.items():
        (group / f"memory.{name}").write_text(text)
    (group / "step" / "memory.max").write_text("max")
    assert available_bytes() == 300_120
