"""Data from other people: image formats by content, and HDF5 files that lead elsewhere."""

import io
import tracemalloc
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from conftest import data_options, refused
from PIL import EpsImagePlugin, Image

from data import create_dataset, hdf5_dataset
from data.images import open_image
from data.sources.hdf5_file import Hdf5Images

h5py = pytest.importorskip("h5py")


# ---------------------------------------------------------------------- formats


@pytest.mark.parametrize("name", ["holiday.png", "holiday.jpg", "holiday.tif"])
def test_a_postscript_program_under_another_name_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Pillow would start Ghostscript, whatever the file is called."""
    started = []

    def ghostscript(*args: object, **settings: object) -> None:
        started.append("gs")
        raise OSError("no PostScript is run in this test")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", ghostscript)
    path = tmp_path / name
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    with refused(path):
        open_image(path, 3)
    assert not started


@pytest.mark.parametrize("kind", ["GIF", "ICO", "PCX", "TGA", "SGI"])
def test_only_formats_with_a_listed_ending_are_decoded(tmp_path: Path, kind: str) -> None:
    """The formats behind .jpg .png .ppm .bmp .tif .webp are enough; each further decoder is one more risk."""
    path, stored = tmp_path / "holiday.png", io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(stored, kind)
    path.write_bytes(stored.getvalue())
    with refused(path):
        open_image(path, 3)


# ---------------------------------------------------------------------- HDF5 files that lead elsewhere


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of this user that no data set should be able to show, large enough to be read as images."""
    path = tmp_path / "secret"
    path.write_bytes(b"S" * 8 * 8 * 3 * 4)
    return path


def read_first(path: Path) -> bytes:
    """The pixels of the first item of --dataset_mode hdf5."""
    opt = data_options(path, "hdf5", preprocess="none", labels=False, n_classes=0)
    return create_dataset(opt).dataset[0]["image"].numpy().tobytes()


def test_hdf5_images_in_another_file_are_refused(tmp_path: Path, secret: Path) -> None:
    """An external raw data set would read any local file."""
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (4, 8, 8, 3), "u1", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    with refused(path):
        read_first(path)


@pytest.mark.parametrize("link", ["external", "virtual"])
def test_hdf5_links_to_another_file_are_refused(tmp_path: Path, link: str) -> None:
    other, path = tmp_path / "other.h5", tmp_path / "foreign.h5"
    with h5py.File(other, "w") as file:
        file["images"] = np.zeros((4, 8, 8, 3), np.uint8)
    with h5py.File(path, "w") as file:
        if link == "external":
            file["images"] = h5py.ExternalLink(str(other), "/images")
        else:
            layout = h5py.VirtualLayout((4, 8, 8, 3), "u1")
            layout[:] = h5py.VirtualSource(str(other), "images", (4, 8, 8, 3))
            file.create_virtual_dataset("images", layout)
    with refused(path):
        read_first(path)


def test_hdf5_labels_in_another_file_are_refused(tmp_path: Path, secret: Path) -> None:
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((4, 8, 8, 3), np.uint8)
        file.attrs["n_classes"] = 256
        file.create_dataset("labels", (4,), "u1", external=[(str(secret), 0, 4)])
    with refused(path):
        read_first(path)


# ---------------------------------------------------------------------- HDF5 and IDX files of odd contents


def test_an_hdf5_link_loop_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.h5"
    with h5py.File(path, "w") as file:
        file["images"] = h5py.SoftLink("/labels")
        file["labels"] = h5py.SoftLink("/images")
    with refused(path):
        read_first(path)


@pytest.mark.parametrize("n_classes", ["many", np.array([1, 2]), -1, 2.5, 2**40], ids=str)
def test_a_number_of_classes_that_is_none_is_refused(tmp_path: Path, n_classes: object) -> None:
    path = tmp_path / "classes.h5"
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64)
        file.attrs["n_classes"] = n_classes
    with refused(path):
        hdf5_dataset.Hdf5Dataset.count_classes(Namespace(dataroot=str(path), labels=True, n_classes=None))


def test_long_class_names_that_share_their_place_are_refused(tmp_path: Path) -> None:
    """A small file can hold names of many gigabytes: the references to all of them are equal."""
    path, count = tmp_path / "images.h5", 200
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64)
        file.attrs["n_classes"] = count
        names = ["x" * 1_000_000, *map(str, range(1, count))]
        file.create_dataset("class_names", data=names, dtype=h5py.string_dtype())
        start = file["class_names"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[start : start + 16 * count] = content[start : start + 16] * count
    path.write_bytes(bytes(content))
    tracemalloc.start()
    with refused(path, "class_names"):
        Hdf5Images(str(path), side=8, channels=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
