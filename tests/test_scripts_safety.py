"""Scripts keep the user's files, and refuse damaged archives and wrong values."""

import argparse
import gzip
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, draw_images, load_script, names_all

from util.errors import RunFault

Runner = Callable[..., int]


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of images with equal names."""
    for seed, name in enumerate("AB"):
        draw_images(tmp_path / name, 3, seed=seed)
    return tmp_path / "A", tmp_path / "B"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---------------------------------------------------------------------- combine_A_and_B.py


@pytest.mark.parametrize("place", ["A", "B", "A/../A", "link", "b/../B"])
def test_combining_into_an_input_folder_is_refused(
    run_script: Runner, sides: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture, place: str
) -> None:
    """The originals stay, whatever name of their folder is given."""
    (tmp_path / "link").symlink_to(sides[0])
    (tmp_path / "b").mkdir()
    before = [contents(folder) for folder in sides]
    words = ["--fold_A", sides[0], "--fold_B", sides[1], "--fold_AB", f"{tmp_path}/{place}"]
    code = run_script("scripts/combine_A_and_B.py", *words)
    assert [contents(folder) for folder in sides] == before
    assert code == 2 and names_all(capfd.readouterr().err, ["--fold_AB"])


@pytest.mark.parametrize("count", [-1, 0])
def test_combining_fewer_than_one_pair_is_refused(
    run_script: Runner, sides: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture, count: int
) -> None:
    """--num_imgs -1 must not leave out the last pair."""
    words = ["--fold_A", sides[0], "--fold_B", sides[1], "--fold_AB", tmp_path / "AB", "--num_imgs", count]
    code = run_script("scripts/combine_A_and_B.py", *words)
    err = capfd.readouterr().err
    assert code == 2 and names_all(err, ["--num_imgs", count]) and not (tmp_path / "AB").exists()


def test_combining_into_a_file_is_refused_with_its_flag(
    run_script: Runner, sides: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    target = tmp_path / "file"
    target.write_text("mine")
    words = ["--fold_A", sides[0], "--fold_B", sides[1], "--fold_AB", target]
    assert run_script("scripts/combine_A_and_B.py", *words) == 2
    assert names_all(capfd.readouterr().err, ["--fold_AB", target]) and target.read_text() == "mine"


@pytest.mark.parametrize("place", ["x" * 300, "loop"])
@pytest.mark.parametrize("flag", ["--fold_A", "--fold_B", "--fold_AB"])
def test_folders_that_cannot_exist_are_refused(
    run_script: Runner,
    sides: tuple[Path, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture,
    flag: str,
    place: str,
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    folders = {"--fold_A": sides[0], "--fold_B": sides[1], "--fold_AB": tmp_path / "AB"} | {
        flag: tmp_path / place
    }
    words = [word for pair in folders.items() for word in pair]
    assert run_script("scripts/combine_A_and_B.py", *words) in (1, 2)
    assert names_all(capfd.readouterr().err, [tmp_path / place])


# ---------------------------------------------------------------------- download_dataset.py


def write_archive(path: Path) -> None:
    """A stored, not compressed archive, so that a flipped bit changes one file only."""
    with tarfile.open(path, "w:gz", compresslevel=0) as file:
        for name in ("train/1.jpg", "train/2.jpg"):
            member = tarfile.TarInfo(f"facades/{name}")
            member.size = 5000
            file.addfile(member, io.BytesIO(b"P" * 5000))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    """tarfile reads a header at once, and gzip stores 1,000 times its length."""
    archive, size = tmp_path / "facades.tar.gz", 100_000_000
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, size
    with gzip.open(archive, "wb", compresslevel=1) as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT) + bytes(size + 4096))
    download = load_script("scripts/download_dataset.py")
    tracemalloc.start()
    with pytest.raises(RunFault, match=re.escape(str(archive))):
        download.unpack(archive, tmp_path / "facades")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000 and sorted(os.listdir(tmp_path)) == [archive.name]


def test_an_archive_with_a_flipped_bit_is_refused(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """The checksum at the end of a gzip file is read, although the tar archive in it ends earlier."""
    archive = tmp_path / "facades.tar.gz"
    write_archive(archive)
    data = bytearray(archive.read_bytes())
    data[data.index(b"P" * 5000) + 2500] ^= 1
    archive.write_bytes(bytes(data))
    code = run_script("scripts/download_dataset.py", "facades", "--kind", "pix2pix", "--dest", tmp_path)
    assert code == 1 and names_all(capfd.readouterr().err, [archive])
    assert not (tmp_path / "facades").exists() and archive.exists()


@pytest.mark.parametrize(
    "mirror", ["nonsense", "file:///etc", "http://", "ftp//host", "http://[x", "http://host:port"]
)
def test_a_mirror_that_is_no_address_is_refused(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture, mirror: str
) -> None:
    code = run_script(
        "scripts/download_dataset.py", "maps", "--kind", "cyclegan", "--dest", tmp_path, "--mirror", mirror
    )
    assert code == 2 and names_all(capfd.readouterr().err, ["--mirror", mirror])


def test_a_failed_download_names_the_ways_out(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        mirror = f"http://127.0.0.1:{unused.getsockname()[1]}"
        words = ["maps", "--kind", "cyclegan", "--dest", tmp_path, "--mirror", mirror]
        assert run_script("scripts/download_dataset.py", *words) == 1
    assert names_all(capfd.readouterr().err, [f"{mirror}/cyclegan/datasets/maps.zip", "--mirror", "--sha256"])


@pytest.mark.parametrize("host", ["a" * 300, "\N{SNOWMAN}..x"])
def test_a_host_that_no_server_can_have_is_one_sentence(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture, host: str
) -> None:
    words = ["maps", "--kind", "cyclegan", "--dest", tmp_path, "--mirror", f"http://{host}"]
    assert run_script("scripts/download_dataset.py", *words) == 1
    assert names_all(capfd.readouterr().err, ["--mirror", "--sha256"])


@pytest.mark.parametrize("name", ["make_hdf5", "score_translations", "download_dataset", "make_toy_dataset"])
def test_a_name_that_is_too_long_is_one_sentence(
    run_script: Runner, unpaired: Path, tmp_path: Path, capfd: pytest.CaptureFixture, name: str
) -> None:
    long = tmp_path / ("x" * 300)
    words = {
        "make_hdf5": ["--dataroot", unpaired / "trainA", "--out", long, "--size", 8],
        "score_translations": ["--results", long, "--dataroot", long],
        "download_dataset": ["maps", "--kind", "cyclegan", "--dest", long, "--mirror", "http://127.0.0.1:9"],
        "make_toy_dataset": ["--out", long, "--size", 32, "--train", 1, "--test", 1],
    }
    assert run_script(f"scripts/{name}.py", *words[name]) in (1, 2)
    assert names_all(capfd.readouterr().err, [long])


@pytest.mark.parametrize("kind", ["fifo", "folder", "empty"])
def test_an_archive_that_is_no_file_is_refused(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture, kind: str
) -> None:
    archive = tmp_path / "maps.zip"
    {"fifo": os.mkfifo, "folder": Path.mkdir, "empty": Path.touch}[kind](archive)
    assert run_script("scripts/download_dataset.py", "maps", "--kind", "cyclegan", "--dest", tmp_path) == 1
    assert names_all(capfd.readouterr().err, [archive]) and not (tmp_path / "maps").exists()


def test_an_archive_that_does_not_fit_on_the_disk_is_refused(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a single file of it is written."""
    write_archive(tmp_path / "facades.tar.gz")
    with zipfile.ZipFile(tmp_path / "maps.zip", "w") as file:
        file.writestr("maps/1.jpg", bytes(10_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: argparse.Namespace(free=9999))
    for name, kind in (("facades", "pix2pix"), ("maps", "cyclegan")):
        assert run_script("scripts/download_dataset.py", name, "--kind", kind, "--dest", tmp_path) == 2
        assert names_all(capfd.readouterr().err, ["10,000", "9,999"]) and not (tmp_path / name).exists()


# ---------------------------------------------------------------------- all that work without torch


@pytest.mark.parametrize(
    "name", ["combine_A_and_B", "make_toy_dataset", "make_hdf5", "score_translations", "download_dataset"]
)
def test_a_missing_package_is_one_sentence(name: str) -> None:
    """Without the environment: -S hides its packages."""
    command = [sys.executable, "-S", str(ROOT / "scripts" / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if name == "download_dataset":
        assert done.returncode == 0  # it needs none
        return
    assert done.returncode and len(done.stderr.splitlines()) == 1
    assert names_all(done.stderr, [".venv/bin/activate", "pip install"])
