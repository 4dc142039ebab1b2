"""Scripts keep the user's files, and refuse damaged archives and wrong values."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import draw_images, names_all

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


# ---------------------------------------------------------------------- download_dataset.py


def write_archive(path: Path) -> None:
    """A stored, not compressed archive, so that a flipped bit changes one file only."""
    with tarfile.open(path, "w:gz", compresslevel=0) as file:
        for name in ("train/1.jpg", "train/2.jpg"):
            member = tarfile.TarInfo(f"facades/{name}")
            member.size = 5000
            file.addfile(member, io.BytesIO(b"P" * 5000))


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
