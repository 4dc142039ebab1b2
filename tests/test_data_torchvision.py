"""The data set `torchvision`: labels, phases, defaults, and what is reported when files are missing."""

import argparse
import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, refused
from data_helpers import assert_cached_in_memory, count_classes, dataset, draw, parsed
from PIL import Image
from torchvision import datasets

from data import create_dataset
from data.sources import torchvision_sets
from data.transforms import to_tensor

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def tv(root: Path, name: str, **changed: object) -> argparse.Namespace:
    values = {"tv_dataset": name, "tv_category": "tower", "download": False}
    return data_options(root, "torchvision", **(values | changed))


def idx(path: Path, values: np.ndarray) -> None:
    """Write an array of bytes in the format of MNIST."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    path.write_bytes(head + values.astype(np.uint8).tobytes())


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, size in (("train", 6), ("t10k", 4)):
        raw = tmp_path / "MNIST" / "raw"
        idx(raw / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (size, 28, 28)))
        idx(raw / f"{part}-labels-idx1-ubyte", np.arange(size)[::-1])
    return tmp_path


def test_mnist_has_two_phases_with_labels(mnist: Path) -> None:
    opt = tv(mnist, "MNIST", crop_size=28, output_nc=1)
    items = dataset(opt)
    assert (len(items), count_classes(opt)) == (6, 10)
    pixels = np.frombuffer((mnist / "MNIST/raw/train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    expected = torch.from_numpy(pixels.reshape(6, 1, 28, 28) / 127.5 - 1).float()
    assert torch.allclose(items[2]["image"], expected[2], atol=1e-6) and int(items[2]["label"]) == 3
    assert items[2]["paths"] == "MNIST_train_000002.png"
    tested = dataset(tv(mnist, "MNIST", phase="test", crop_size=32))
    assert len(tested) == 4 and tested[0]["image"].shape == (3, 32, 32)
    assert "label" not in dataset(tv(mnist, "MNIST", n_classes=0))[0]
    with refused("--phase val", "train", "test"):
        dataset(tv(mnist, "MNIST", phase="val"))


def test_images_are_cached_in_memory(mnist: Path) -> None:
    assert_cached_in_memory(tv(mnist, "MNIST", output_nc=1))


def test_mnist_is_read_from_gzip_files(mnist: Path) -> None:
    expected = dataset(tv(mnist, "MNIST"))[5]["image"]
    raw = mnist / "MNIST" / "raw"
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    before = sorted(raw.iterdir())
    assert torch.equal(dataset(tv(mnist, "MNIST"))[5]["image"], expected)
    assert sorted(raw.iterdir()) == before


def test_cifar_has_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(datasets.CIFAR100, "_load_meta", lambda self: None)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    content = {"data": pixels.reshape(3, -1), "fine_labels": [99, 0, 7]}
    (folder / "train").write_bytes(pickle.dumps(content))
    items = dataset(tv(tmp_path, "CIFAR100", crop_size=32))
    assert [int(items[index]["label"]) for index in range(3)] == [99, 0, 7]
    assert torch.allclose(items[1]["image"], torch.from_numpy(pixels[1] / 127.5 - 1).float(), atol=1e-6)


def test_stl10_has_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    np.zeros((2, 3, 96, 96), np.uint8).tofile(folder / "test_X.bin")
    np.array([10, 1], np.uint8).tofile(folder / "test_y.bin")
    items = dataset(tv(tmp_path, "STL10", phase="test", crop_size=96))
    assert [int(items[index]["label"]) for index in range(2)] == [9, 0]
    assert items[0]["image"].shape == (3, 96, 96) and items[0]["image"].max() == -1


def test_celeba_shows_the_square_around_the_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CelebA, "_check_integrity", lambda self: True)
    folder = tmp_path / "celeba"
    for number, name in enumerate(["1.jpg", "2.jpg", "3.jpg", "4.jpg"]):
        draw(folder / "img_align_celeba" / name, (178, 218 - number))
    (folder / "list_eval_partition.txt").write_text("1.jpg 0\n2.jpg 2\n3.jpg 0\n4.jpg 2\n")
    (folder / "identity_CelebA.txt").write_text("1.jpg 5\n2.jpg 6\n3.jpg 7\n4.jpg 8\n")
    for name in ("list_bbox_celeba", "list_landmarks_align_celeba", "list_attr_celeba"):
        (folder / f"{name}.txt").write_text("4\nx y\n" + "".join(f"{n}.jpg 1 -1\n" for n in (1, 2, 3, 4)))
    defaults = parsed("torchvision", "--tv_dataset", "CelebA")
    opt = tv(tmp_path, "CelebA", preprocess=defaults.preprocess, center_size=defaults.center_size)
    items = dataset(opt)
    assert (len(items), count_classes(opt), set(items[0])) == (2, 0, {"image", "paths"})
    stored = Image.open(folder / "img_align_celeba" / "1.jpg")
    face = stored.crop((9, 29, 169, 189)).resize((8, 8), Image.Resampling.BICUBIC)
    assert torch.equal(items[0]["image"], to_tensor(face))
    assert len(dataset(tv(tmp_path, "CelebA", phase="test"))) == 2


def test_lsun_is_read_from_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lmdb = pytest.importorskip("lmdb", reason="needs the package lmdb")
    monkeypatch.chdir(tmp_path)
    with lmdb.open(str(tmp_path / "tower_val_lmdb")) as database, database.begin(write=True) as writing:
        for number in range(4):
            writing.put(b"%d" % number, draw(tmp_path / f"{number}.png").read_bytes())
        writing.put(b"9", b"no image")
    opt = tv(tmp_path, "LSUN", phase="test", max_dataset_size=4)
    items = dataset(opt)
    # fails if the data set left it open
    lmdb.open(str(tmp_path / "tower_val_lmdb"), readonly=True, lock=False).close()
    expected = Image.open(tmp_path / "2.png").resize((8, 8), Image.Resampling.BICUBIC)
    assert torch.equal(items[2]["image"], to_tensor(expected)) and "label" not in items[2]
    flags = [argparse.Namespace(**vars(opt) | {"num_threads": number}) for number in (0, 2)]
    in_process, workers = (list(create_dataset(each)) for each in flags)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(in_process, workers, strict=True))
    assert torch.equal(pickle.loads(pickle.dumps(items))[2]["image"], items[2]["image"])
    with refused("tower_val_0000004.png"):
        dataset(tv(tmp_path, "LSUN", phase="test"))[4]
    assert not list(tmp_path.glob("_cache*"))
    with refused(tmp_path / "tower_train_lmdb", "--download", "--dataroot"):
        dataset(tv(tmp_path, "LSUN"))


def test_lsun_names_the_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "lmdb" else name)
    with refused("--tv_dataset LSUN", "pip install lmdb"):
        dataset(tv(tmp_path, "LSUN"))


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "STL10", "CelebA"])
def test_a_missing_set_is_reported_with_its_folder(tmp_path: Path, name: str) -> None:
    with refused(name, tmp_path, "--download"):
        dataset(tv(tmp_path, name))
    assert not list(tmp_path.iterdir())


def test_torchvision_downloads_only_on_request(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads: list[str] = []
    monkeypatch.setattr(datasets.MNIST, "download", lambda self: downloads.append(self.root))
    dataset(tv(mnist, "MNIST"))
    assert not downloads
    dataset(tv(mnist, "MNIST", download=True))
    assert downloads == [str(mnist)]

    def fails(self: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(datasets.MNIST, "download", fails)
    with refused("MNIST", mnist, "no network"):
        dataset(tv(mnist, "MNIST", download=True))


def test_defaults_depend_on_the_set() -> None:
    def shared(name: str, *words: str) -> tuple:
        opt = parsed("torchvision", "--tv_dataset", name, *words)
        return opt.input_nc, opt.output_nc, opt.no_flip, opt.preprocess, opt.center_size

    assert shared("MNIST") == (1, 1, True, "resize", 0)
    assert shared("FashionMNIST") == (1, 1, False, "resize", 0)
    assert shared("CIFAR10") == (3, 3, False, "resize", 0)
    assert shared("CelebA") == (3, 3, False, "center", 160)
    assert shared("MNIST", "--output_nc", "3", "--no_flip", "false") == (1, 3, False, "resize", 0)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="no MNIST beside the checkout")
def test_real_mnist() -> None:
    opt = tv(SHARED / "mnist", "MNIST", phase="test", crop_size=32, output_nc=1)
    items = dataset(opt)
    assert len(items) == 10_000 and items[0]["image"].shape == (1, 32, 32)
    assert [int(items[index]["label"]) for index in range(5)] == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("content", [b"", b"rubbish", bytes([0, 0, 99, 9, 0, 0, 0, 1]), None], ids=repr)
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_rubbish_in_the_files_of_mnist_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    """Without `content`, files that are valid each for itself: fewer labels than images."""
    raw = tmp_path / name / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        idx(raw / f"{part}-images-idx3-ubyte", np.zeros((4, 28, 28)))
        idx(raw / f"{part}-labels-idx1-ubyte", np.zeros(3))
        if content is not None:
            (raw / f"{part}-images-idx3-ubyte").write_bytes(content)
    with refused(tmp_path):
        dataset(tv(tmp_path, name, output_nc=1))


def test_a_label_beyond_the_classes_is_refused(mnist: Path) -> None:
    idx(mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.full(6, 10))
    with refused(mnist):
        dataset(tv(mnist, "MNIST"))


def test_a_gzip_file_that_unpacks_without_end_is_refused(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_sets, "MOST_UNPACKED", 1000)
    raw = mnist / "MNIST" / "raw"
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    with refused(raw / "t10k-images-idx3-ubyte.gz"):
        dataset(tv(mnist, "MNIST"))


@pytest.mark.parametrize("file", ["data_batch_1", "batches.meta"])
def test_rubbish_in_the_files_of_cifar_is_refused(tmp_path: Path, file: str) -> None:
    """They are pickles, which are only read if their MD5 sums are those of the real ones."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / file).write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    with refused(tmp_path):
        dataset(tv(tmp_path, "CIFAR10"))
    assert not Path("harm").exists()
