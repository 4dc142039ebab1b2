"""Images that cannot fit into the memory, files that would block, links in circles, and names of any bytes and length."""

import errno
import os
import shutil
import signal
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import ONCE, TINY, data_options, draw_images, names_all, refused, run_main
from data_helpers import cached_options, dataset, draw, read_all
from PIL import Image

from data import create_dataset
from data.image_folder import image_paths
from data.images import open_image
from data.transforms import Preprocess
from util import free_memory
from util.errors import UserError
from util.imaging.images import image_size, save_image


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """The block must end in time; what blocks is interrupted."""

    def stop(*_: object) -> None:
        pytest.fail(f"still waiting after {seconds} s")  # no Exception, so that nothing handles it

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------------- memory


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One megabyte is free, which is measured for images of any size."""
    monkeypatch.setattr(free_memory, "NEGLIGIBLE", 0)
    monkeypatch.setattr(free_memory, "available_bytes", lambda: 2**20)


def test_an_image_that_does_not_fit_is_refused_before_it_is_decoded(
    tmp_path: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "small.png", (100, 100))
    assert open_image(tmp_path / "small.png", 3).size == (100, 100)
    draw(tmp_path / "large.png", (300, 300))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with refused(tmp_path / "large.png", "300x300"):
        open_image(tmp_path / "large.png", 3)


def test_a_small_file_of_many_pixels_is_refused_quickly(tmp_path: Path) -> None:
    """A decompression bomb: 50 bytes that declare 10 ** 10 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with within(5), refused(path):
        open_image(path, 3)


@pytest.mark.parametrize("mode", ["scale_width", "scale_width_and_crop", "resize"])
def test_an_image_of_extreme_proportions_is_refused_by_name(mode: str, little_memory: None) -> None:
    """A width of 1 is scaled to that of others, and the height in proportion, or before the height shrinks."""
    with within(5), refused("thin.png", "1x5000", "--load_size"):
        Preprocess(mode, load_size=286, crop_size=256).prepare(Image.new("RGB", (1, 5000)), name="thin.png")


def test_an_aspect_ratio_that_cannot_fit_is_refused(tmp_path: Path) -> None:
    with within(5), refused("--aspect_ratio"):
        save_image(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png", aspect_ratio=1e12)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what is no file


def special(kind: str, path: Path) -> None:
    """Make a file called `path` that is no regular file, or no file at all."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        place = os.getcwd()
        os.chdir(path.parent)  # the path of a socket may have about 100 bytes
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(place)
    else:
        targets = {"device": "/dev/zero", "loop": path.name, "fifo link": "pipe", "broken": "absent"}
        if kind == "fifo link":
            os.mkfifo(path.with_name("pipe"))
        path.symlink_to(targets[kind])


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "loop", "fifo link", "broken"])
def test_special_files_among_images_do_not_block(tmp_path: Path, kind: str) -> None:
    """They are left out of the list, or refused by name when they are read."""
    draw_images(tmp_path, 2)
    path = tmp_path / "002.png"
    special(kind, path)
    with within(5):
        found = set(image_paths(tmp_path))
        assert found >= {str(tmp_path / "000.png"), str(tmp_path / "001.png")}
        assert (
            str(path) in found
        ) == path.is_symlink()  # fewer calls of the system: links are followed later
        with refused(path):
            open_image(path, 3)
        assert image_size(path) is None


def test_folders_that_link_to_each_other_are_scanned_in_bounded_time(tmp_path: Path) -> None:
    """Ten folders with links to all others can be walked through in millions of orders."""
    folders = [tmp_path / f"f{number}" for number in range(10)]
    for folder in folders:
        draw_images(folder, 1, size=(4, 4))
        for other in folders:
            if other != folder:
                (folder / other.name).symlink_to(other)
    with within(20), refused(tmp_path):
        image_paths(tmp_path)


def test_folders_in_folders_may_be_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeper than Python's calls may be."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
    try:
        draw(tmp_path / "d" / "a.png")
        assert list(image_paths(tmp_path)) == [str(tmp_path / "d" / "a.png")]
        (tmp_path / "d" / "a.png").unlink()
    finally:
        for _ in range(1100):  # other ways to remove the folders are recursive
            os.chdir("..")
            os.rmdir("d")


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("mode", ["unaligned", "aligned", "single", "colorization", "folder", "labeled"])
@pytest.mark.parametrize("part", ["x" * 300, "a/" * 3000, "a\0b"], ids=["one part", "whole path", "zero"])
def test_a_data_folder_that_cannot_exist_is_refused(mode: str, part: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        dataset(cached_options(tmp_path / part, mode))


def test_names_of_any_bytes_are_read_and_cached(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"caf\xe9")
    os.rename(root, root.with_name(odd))
    root = root.with_name(odd)
    for folder in ("trainA", "trainB"):
        os.rename(root / folder / "000.png", root / folder / f"{odd}.png")
    plain = read_all(dataset(cached_options(root, cache="off")))
    assert any(odd in Path(item["A_paths"]).name for item in plain)
    for cache in ("memory", "disk"):
        items = dataset(cached_options(root, cache=cache))
        assert [item["A_paths"] for item in read_all(items)] == [item["A_paths"] for item in plain]
    assert list((tmp_path / "cache").rglob("pixels/*"))


def test_a_folder_whose_name_is_not_utf_8_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    odd = root.with_name(os.fsdecode(b"caf\xe9"))
    root.rename(odd)
    assert run_main("train.py", "--dataroot", odd, *TINY, *ONCE, "--checkpoints_dir", tmp_path / "runs") == 2
    assert names_all(capsys.readouterr().err, ["--dataroot", "UTF-8"]) and not (tmp_path / "runs").exists()


# ---------------------------------------------------------------------- changes and rubbish


@pytest.mark.parametrize("content", [None, b"", b"rubbish"], ids=["removed", "emptied", "replaced"])
def test_an_image_that_changes_during_training_is_named(root: Path, content: bytes | None) -> None:
    batches = iter(create_dataset(data_options(root, "labeled", cache="off", serial_batches=True)))
    next(batches)
    path = root / "train" / "x" / "002.png"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with refused(path):
        list(batches)


def test_unreadable_folders_and_files_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is readable for root, who may run this test, so the system's answer is given here."""

    def forbid(function: Callable) -> Callable:
        def guarded(path: str | Path, *rest: int, **named: object) -> object:
            if "secret" in str(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path, *rest, **named)

        return guarded

    (root / "trainA" / "000.png").rename(root / "trainA" / "secret.png")
    shutil.copytree(root / "trainB", root / "trainB" / "secret")
    for name in ("open", "scandir"):
        monkeypatch.setattr(os, name, forbid(getattr(os, name)))
    with refused(root / "trainB" / "secret"):
        dataset(cached_options(root))
    with refused(root / "trainA" / "secret.png"):
        open_image(root / "trainA" / "secret.png", 3)


def test_one_image_is_a_data_set(root: Path) -> None:
    path = root / "trainA" / "001.png"
    opt = cached_options(root, "single")
    opt.dataroot = str(path)
    items = dataset(opt)
    assert [item["A_paths"] for item in read_all(items)] == [str(path)]
