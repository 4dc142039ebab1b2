"""The images of a folder are found in a stable order, and the list of a large folder is never outdated."""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import names_all, refused
from data_helpers import saved
from PIL import Image

from data import image_folder
from data.image_folder import make_dataset
from data.listing import index_cache
from data.listing.compact_paths import CompactPaths
from util.errors import UserError


def test_images_are_found_in_a_stable_order(tmp_path: Path) -> None:
    for name in ["b.PNG", "a.Jpeg", "sub/c.tiff", ".hidden.png", ".dir/d.png", "notes.txt", "z.webp"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "back").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    found = [Path(path).relative_to(tmp_path).as_posix() for path in make_dataset(tmp_path)]
    assert found == ["a.Jpeg", "b.PNG", "link/c.tiff", "sub/c.tiff", "z.webp"]
    assert make_dataset(str(tmp_path), 2) == [str(tmp_path / "a.Jpeg"), str(tmp_path / "b.PNG")]


def test_missing_and_empty_folders_are_reported_with_what_exists(tmp_path: Path) -> None:
    for name in ["trainA", "testA"]:
        saved(tmp_path / name / "1.png", Image.new("L", (1, 1)))
    (tmp_path / "trainB" / "deep").mkdir(parents=True)
    with refused(tmp_path / "valA", "testA, trainA, trainB"):
        make_dataset(tmp_path / "valA")
    with refused(tmp_path / "trainB", "deep", "testA, trainA, trainB"):
        make_dataset(tmp_path / "trainB")
    with refused(tmp_path / "trainA" / "trainA", "--dataroot", tmp_path):
        make_dataset(tmp_path / "trainA" / "trainA")


def test_the_folder_of_a_data_set_inside_dataroot_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "horses" / "trainA").mkdir(parents=True)
    with refused(tmp_path / "trainA", f"--dataroot {tmp_path / 'horses'}"):
        make_dataset(tmp_path / "trainA")


def test_a_folder_of_photographs_is_not_mistaken_for_a_part_of_a_data_set(tmp_path: Path) -> None:
    saved(tmp_path / "photos" / "1.png", Image.new("L", (1, 1)))
    with pytest.raises(UserError) as refusal:
        make_dataset(tmp_path / "photos" / "trainA")
    assert names_all(str(refusal.value), [tmp_path / "photos", "docs/data.md"])
    assert f"--dataroot {tmp_path}" not in str(refusal.value)
    with refused("--max_dataset_size 0"):
        make_dataset(tmp_path / "trainA", 0)


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are scanned; lists of four and more images are cached in tmp_path/cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "MIN_IMAGES", 3)
    monkeypatch.setattr(index_cache, "CLOCK_TICK_NS", 0)
    searched: list[str] = []
    visible = image_folder.visible

    def scan_and_count(folder: str) -> Iterator[os.DirEntry]:
        searched.append(folder)
        return visible(folder)

    monkeypatch.setattr(image_folder, "visible", scan_and_count)
    return searched


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["b.png", "a/1.png", "a/deep/2.png", "a/deep/3.png", "c-d/4.png"]:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    return tmp_path / "data"


def found(folder: Path | str) -> list[str]:
    return [os.path.relpath(path, folder) for path in make_dataset(folder)]


def test_the_list_of_a_large_folder_is_cached(
    tree: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, searched = make_dataset(tree), len(scans)
    assert len(paths) == 5 and searched == 4
    assert make_dataset(tree) == paths and make_dataset(tree, 2) == paths[:2] and len(scans) == searched
    assert len(list((tree.parent / "cache" / "zebrawood" / "index").iterdir())) == 1
    assert sum(path.is_file() for path in tree.rglob("*")) == 5
    monkeypatch.chdir(tree.parent)
    (tree.parent / "link").symlink_to(tree)
    assert make_dataset("data") == [os.path.relpath(path) for path in paths]
    assert make_dataset("link")[0] == paths[0].replace("data/", "link/").removeprefix(f"{tree.parent}/")
    assert len(scans) == searched


CHANGES: dict[str, Callable[[Path], object]] = {
    "add": lambda deep: (deep / "9.png").touch(),
    "remove": lambda deep: (deep / "2.png").unlink(),
    "rename": lambda deep: (deep / "2.png").rename(deep / "7.png"),
    "rename a folder": lambda deep: deep.rename(deep.with_name("deeper")),
    "replace a folder": lambda deep: (deep.rename(deep.with_name("old")), deep.mkdir()),
}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_a_sub_folder_is_noticed(tree: Path, scans: list[str], change: str, reset: bool) -> None:
    before = found(tree)
    stamps = {folder: folder.stat().st_mtime_ns for folder in (tree / "a", tree / "a" / "deep")}
    time.sleep(0.02)  # a tick of the file system's clock
    CHANGES[change](tree / "a" / "deep")
    if reset:  # as unpacking an archive does
        for folder, mtime in stamps.items():
            if folder.exists():
                os.utime(folder, ns=(mtime, mtime))
    after = found(tree)
    assert after != before
    assert after == sorted(os.path.relpath(path, tree) for path in tree.rglob("*.png"))


def test_a_folder_that_has_just_changed_is_not_cached(
    tree: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_cache, "CLOCK_TICK_NS", 2_000_000_000)
    found(tree)
    searched = len(scans)
    found(tree)
    assert len(scans) == 2 * searched


def test_a_folder_with_a_broken_link_is_not_cached(tree: Path, scans: list[str]) -> None:
    (tree / "link").symlink_to(tree.parent / "disk")
    assert len(found(tree)) == 5
    saved(tree.parent / "disk" / "6.png", Image.new("L", (1, 1)))
    assert found(tree)[-1] == "link/6.png"


def test_small_folders_are_not_cached_and_an_unwritable_cache_is_no_error(
    tree: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_cache, "MIN_IMAGES", 5)
    found(tree)
    assert not (tree.parent / "cache").exists()
    monkeypatch.setattr(index_cache, "MIN_IMAGES", 4)
    (tree.parent / "cache").touch()
    assert found(tree) == found(tree) and len(scans) == 12


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"", lambda content: b"rubbish"]
)
def test_a_damaged_list_is_replaced(tree: Path, scans: list[str], damage: Callable[[bytes], bytes]) -> None:
    before = found(tree)
    (content,) = (tree.parent / "cache" / "zebrawood" / "index").iterdir()
    content.write_bytes(damage(content.read_bytes()))
    assert found(tree) == before and len(scans) == 8
    assert found(tree) == before and len(scans) == 8


def test_unusual_names_survive_the_cache(tree: Path, scans: list[str]) -> None:
    names = ["new\nline.png", "nul-\u2603.png", os.fsdecode(b"latin-\xe9.png")]
    for name in names:
        (tree / "a" / name).touch()
    before = found(tree)
    assert {f"a/{name}" for name in names} < set(before)
    assert found(tree) == before and len(scans) == 4


def test_compact_paths_equal_a_list(tmp_path: Path) -> None:
    names = [
        os.fsdecode(b"latin-\xe9.png"),
        "sub/\u2603.png",
        *(f"{number:05d}.png" for number in range(300)),
    ]
    paths = CompactPaths("data", "\0".join(names))
    whole = [f"data/{name}" for name in names]
    assert list(paths) == whole and len(paths) == len(whole)
    assert [paths[place] for place in (0, 1, 100, -1)] == [whole[place] for place in (0, 1, 100, -1)]
    assert paths[1:9:3] == whole[1:9:3] and paths[-2:] == whole[-2:]
    with pytest.raises(IndexError):
        paths[len(whole)]


def test_compact_paths_are_small() -> None:
    names = "\0".join(f"c-d/{number:06d}.jpg" for number in range(2000))
    assert len(pickle.dumps(CompactPaths("data", names))) < 26 * 2000
