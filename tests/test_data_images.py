"""Every kind of image file becomes 8-bit grey, RGB or RGBA by the stated rule; bad files are named."""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import image_folder
from data.image_folder import make_dataset
from data.images import open_image
from data.listing import index_cache
from data.listing.class_folders import labels_of
from data.listing.compact_paths import CompactPaths
from data.loading.check_images import check_images
from util.errors import UserError

RAMP16 = np.array([[0, 1, 128, 129, 32768, 65535]], np.uint16)


def saved(path: Path, image: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def pixels(path: Path, channels: int) -> list:
    image = open_image(path, channels)
    assert image.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    return np.asarray(image).tolist()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_is_divided_by_257_and_rounded(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(RAMP16))
    assert pixels(path, 1) == [[0, 0, 0, 1, 128, 255]]
    assert pixels(path, 3)[0][4] == [128, 128, 128]


def test_integers_within_16_bits_are_taken_as_such_and_others_are_stretched(tmp_path: Path) -> None:
    within = saved(tmp_path / "a.tif", Image.fromarray(RAMP16.astype(np.int32)))
    beyond = saved(tmp_path / "b.tif", Image.fromarray(np.array([[-100, 0, 100_000 - 100]], np.int32)))
    assert pixels(within, 1) == [[0, 0, 0, 1, 128, 255]]
    assert pixels(beyond, 1) == [[0, 0, 255]]


def test_floats_are_stretched_between_their_own_extremes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[-1.0, 0.0, 1.0]], np.float32)))
    flat = saved(tmp_path / "b.tif", Image.fromarray(np.full((1, 2), 7.0, np.float32)))
    nan = saved(tmp_path / "c.tif", Image.fromarray(np.array([[0.0, np.nan]], np.float32)))
    assert pixels(path, 1) == [[0, 128, 255]]
    assert pixels(flat, 1) == [[0, 0]]
    with pytest.raises(UserError, match=r"c\.tif cannot be converted to RGB .*NaN"):
        open_image(nan, 3)


def test_grey_from_rgb_is_the_luma_and_grey_stays_what_it_was(tmp_path: Path) -> None:
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8))
    grey = colour.convert("L")
    assert pixels(saved(tmp_path / "a.png", colour), 1) == np.asarray(grey).tolist()
    assert pixels(saved(tmp_path / "b.png", grey), 1) == np.asarray(grey).tolist()
    assert pixels(saved(tmp_path / "b.png", grey), 3)[0][0] == [grey.getpixel((0, 0))] * 3


def test_palette_and_cmyk(tmp_path: Path) -> None:
    palette = Image.new("P", (1, 1), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert pixels(saved(tmp_path / "a.png", palette), 3) == [[[10, 20, 30]]]
    cmyk = Image.new("CMYK", (1, 1), (0, 255, 255, 0))
    assert pixels(saved(tmp_path / "b.tif", cmyk), 3) == [[[255, 0, 0]]]
    assert pixels(tmp_path / "b.tif", 4) == [[[255, 0, 0, 255]]]


def test_alpha_is_laid_on_white_unless_the_target_has_it(tmp_path: Path) -> None:
    half = saved(tmp_path / "a.png", Image.new("RGBA", (1, 1), (255, 0, 0, 51)))
    grey = saved(tmp_path / "b.png", Image.new("LA", (1, 1), (0, 0)))
    key = Image.new("P", (1, 1), 0)
    key.putpalette([9, 9, 9])
    key.save(tmp_path / "c.png", transparency=0)
    assert pixels(half, 3) == [[[255, 204, 204]]]
    assert pixels(half, 4) == [[[255, 0, 0, 51]]]
    assert pixels(grey, 1) == [[255]]
    assert pixels(tmp_path / "c.png", 3) == [[[255, 255, 255]]]


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg", exif=exif)
    assert open_image(tmp_path / "a.jpg", 3).size == (4, 2)


def test_other_channel_counts_are_refused_by_flag(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (1, 1)))
    with pytest.raises(UserError, match=r"--input_nc or --output_nc 5: .*1 .*3 .*4"):
        open_image(path, 5)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", Image.effect_noise((64, 64), 50)).read_bytes()
    for name, content in {"cut.png": whole[:900], "text.png": b"hello", "empty.jpg": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name} cannot be read as an image"):
            open_image(tmp_path / name, 3)
    with pytest.raises(UserError, match=r"gone\.png cannot be read as an image"):
        open_image(tmp_path / "gone.png", 3)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (50, 50)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match=r"a\.png exceeds .* limit of 2,000 pixels"):
        open_image(path, 1)


def test_check_data_names_broken_files_by_position(tmp_path: Path) -> None:
    paths = [str(saved(tmp_path / f"{number}.png", Image.new("L", (2, 2)))) for number in range(9)]
    check_images(paths)
    for number in range(1, 8):
        Path(paths[number]).write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        check_images(paths)
    assert "7 broken" in str(caught.value)
    assert "file 2 of 9" in str(caught.value) and "file 6 of 9" in str(caught.value)
    assert "file 7 of 9" not in str(caught.value) and "2 more" in str(caught.value)


def test_folders_are_scanned_in_a_stable_order(tmp_path: Path) -> None:
    for name in ["b.PNG", "a.Jpeg", "sub/c.tiff", ".hidden.png", ".dir/d.png", "notes.txt", "z.webp"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "back").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    found = [Path(path).relative_to(tmp_path).as_posix() for path in make_dataset(tmp_path)]
    assert found == ["a.Jpeg", "b.PNG", "link/c.tiff", "sub/c.tiff", "z.webp"]
    assert make_dataset(str(tmp_path), 2) == [str(tmp_path / "a.Jpeg"), str(tmp_path / "b.PNG")]


def test_missing_and_empty_folders_say_what_is_there_instead(tmp_path: Path) -> None:
    for name in ["trainA", "testA"]:
        saved(tmp_path / name / "1.png", Image.new("L", (1, 1)))
    (tmp_path / "trainB" / "deep").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no folder .*valA; .* contains testA, trainA, trainB"):
        make_dataset(tmp_path / "valA")
    with pytest.raises(
        UserError, match=r"no images in .*trainB, which contains deep; .* testA, trainA, trainB"
    ):
        make_dataset(tmp_path / "trainB")
    with pytest.raises(UserError, match=rf"but .* holds images; --dataroot should .*{tmp_path}$"):
        make_dataset(tmp_path / "trainA" / "trainA")
    with pytest.raises(UserError, match=r"no folder .*nowhere; check --dataroot"):
        make_dataset(tmp_path / "nowhere" / "trainA")
    with pytest.raises(UserError, match=r"1\.png is a file"):
        make_dataset(tmp_path / "trainA" / "1.png")
    with pytest.raises(UserError, match="--max_dataset_size 0"):
        make_dataset(tmp_path / "trainA", 0)


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were searched; lists from four images on are kept in tmp_path/cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "MIN_IMAGES", 3)
    monkeypatch.setattr(index_cache, "CLOCK_TICK_NS", 0)
    searched: list[str] = []
    scan = image_folder._scan

    def seen(folder: str, *rest: object) -> Iterator[str]:
        searched.append(folder)
        return scan(folder, *rest)

    monkeypatch.setattr(image_folder, "_scan", seen)
    return searched


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["b.png", "a/1.png", "a/deep/2.png", "a/deep/3.png", "c-d/4.png"]:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).touch()
    return tmp_path / "data"


def found(folder: Path | str) -> list[str]:
    return [os.path.relpath(path, folder) for path in make_dataset(folder)]


def test_the_list_of_a_large_folder_is_kept_outside_of_it(
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
def test_a_change_in_a_deep_folder_is_noticed(tree: Path, scans: list[str], change: str, reset: bool) -> None:
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


def test_a_folder_that_has_just_changed_is_not_trusted(
    tree: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_cache, "CLOCK_TICK_NS", 2_000_000_000)
    found(tree)
    searched = len(scans)
    found(tree)
    assert len(scans) == 2 * searched


def test_a_link_to_nowhere_may_become_a_folder_of_images(tree: Path, scans: list[str]) -> None:
    (tree / "link").symlink_to(tree.parent / "disk")
    assert len(found(tree)) == 5
    saved(tree.parent / "disk" / "6.png", Image.new("L", (1, 1)))
    assert found(tree)[-1] == "link/6.png"


def test_small_folders_and_unwritable_caches_go_without(
    tree: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_cache, "MIN_IMAGES", 5)
    found(tree)
    assert not (tree.parent / "cache").exists()
    monkeypatch.setattr(index_cache, "MIN_IMAGES", 4)
    (tree.parent / "cache").touch()
    assert found(tree) == found(tree) and len(scans) == 12


@pytest.mark.parametrize("damage", [lambda kept: kept[:-1], lambda kept: b"", lambda kept: b"rubbish"])
def test_a_damaged_list_is_made_anew(tree: Path, scans: list[str], damage: Callable[[bytes], bytes]) -> None:
    before = found(tree)
    (kept,) = (tree.parent / "cache" / "zebrawood" / "index").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert found(tree) == before and len(scans) == 8
    assert found(tree) == before and len(scans) == 8


def test_odd_names_come_back_as_they_were(tree: Path, scans: list[str]) -> None:
    names = ["new\nline.png", "nul-\u2603.png", os.fsdecode(b"latin-\xe9.png")]
    for name in names:
        (tree / "a" / name).touch()
    before = found(tree)
    assert {f"a/{name}" for name in names} < set(before)
    assert found(tree) == before and len(scans) == 4


def test_paths_in_one_block_are_those_of_a_list(tmp_path: Path) -> None:
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
    assert not CompactPaths("data", "") and list(CompactPaths("data", "")) == []


def test_a_large_folder_is_held_in_little_memory(tree: Path, scans: list[str]) -> None:
    for number in range(2000):
        (tree / "c-d" / f"{number:06d}.jpg").touch()
    for paths in (image_folder.image_paths(tree), image_folder.image_paths(tree)):  # found, remembered
        assert list(paths) == make_dataset(tree) and len(paths) == 2005
        assert len(pickle.dumps(paths)) < 26 * len(paths)
    assert list(image_folder.image_paths(tree, 3)) == make_dataset(tree, 3)


def test_labels_go_by_the_folder_whatever_its_name_sorts_like(tmp_path: Path) -> None:
    classes = sorted(["a", "a b", "a-b", "a0", "ab", "B", "\u2603", os.fsdecode(b"\xe9")])
    for number, name in enumerate(classes):
        for image in range(number + 1):
            saved(tmp_path / name / ("deep" * (image % 2)) / f"{image}.png", Image.new("L", (1, 1)))
    paths = make_dataset(tmp_path)
    labels = labels_of(paths, root=tmp_path, classes=classes)
    assert [classes[label] for label in labels] == [
        Path(path).relative_to(tmp_path).parts[0] for path in paths
    ]
    (tmp_path / "a-").mkdir()
    with pytest.raises(UserError, match="a- holds no images"):
        labels_of(paths, root=tmp_path, classes=[*classes, "a-"])
