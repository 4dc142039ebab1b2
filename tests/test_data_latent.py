"""The data sets of noise to image: folder, labeled, torchvision, hdf5 and noise."""

import argparse
import gzip
import math
import os
import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import data_options, load_script
from PIL import Image

from data import create_dataset, find_dataset_using_name, get_option_setter
from data.cache import choose_store
from data.cache.free_memory import available_bytes
from data.loader import Loader
from data.sources.per_process import OpenPerProcess
from data.sources.source import select_indices
from data.transforms import to_tensor
from options.parser import Parser
from util import log
from util.errors import UserError
from util.noise import seeded_z

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def options(root: Path, mode: str, **changed: object) -> argparse.Namespace:
    return data_options(root, mode, **changed)


def parsed(mode: str, *words: str) -> argparse.Namespace:
    """What a data set makes of its own flags and of the defaults of shared ones."""
    parser = Parser("train.py", list(words))
    for name, kind, default in (("input_nc", int, 3), ("output_nc", int, 3), ("preprocess", str, "resize")):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.flag("--no_flip", "")
    get_option_setter(mode)(parser, True)
    return parser.parse_strictly()


def dataset(opt: argparse.Namespace) -> torch.utils.data.Dataset:
    return find_dataset_using_name(opt.dataset_mode)(opt)


def count(opt: argparse.Namespace) -> int:
    return find_dataset_using_name(opt.dataset_mode).count_classes(opt)


def draw(path: Path, size: tuple[int, int] = (9, 9)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, path.name)) + size[0])
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def names(items: torch.utils.data.Dataset, root: Path) -> list[str]:
    return [Path(items[index]["paths"]).relative_to(root).as_posix() for index in range(len(items))]


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Three classes: `a` would sort behind `a-b` as the start of a path, and `c` is deep."""
    for name in ["a/1.png", "a/2.png", "a-b/3.png", "c/deep/4.png", "c/5.png", "c/6.png"]:
        draw(tmp_path / "set" / name)
    return tmp_path / "set"


# ---------------------------------------------------------------------- folder


def test_folder_takes_every_image_at_any_depth(tmp_path: Path) -> None:
    for name in ["b.png", "a/deep/1.png", "a/0.png"]:
        draw(tmp_path / name)
    opt = options(tmp_path, "folder", phase="test")
    items = dataset(opt)
    assert names(items, tmp_path) == ["a/0.png", "a/deep/1.png", "b.png"] and count(opt) == 0
    assert set(items[0]) == {"image", "paths"}
    assert items[0]["image"].shape == (3, 8, 8) and items[0]["image"].dtype == torch.float32
    assert torch.equal(
        items[2]["image"], to_tensor(Image.open(tmp_path / "b.png").resize((8, 8), Image.Resampling.BICUBIC))
    )
    assert len(dataset(options(tmp_path, "folder", max_dataset_size=2))) == 2


@pytest.mark.parametrize("mode", ["folder", "labeled"])
def test_the_folder_of_the_phase_comes_first(tmp_path: Path, mode: str) -> None:
    draw(tmp_path / "train" / "x" / "1.png")
    assert len(dataset(options(tmp_path, mode))) == 1
    with pytest.raises(UserError, match=r"no folder .*test, but there is .*train: .* --phase train"):
        dataset(options(tmp_path, mode, phase="test"))
    draw(tmp_path / "test" / "x" / "2.png")
    assert names(dataset(options(tmp_path, mode, phase="test")), tmp_path) == ["test/x/2.png"]


@pytest.mark.parametrize("mode", ["folder", "labeled"])
def test_broken_and_grey_files_are_treated_as_elsewhere(classes: Path, mode: str) -> None:
    items = dataset(options(classes, mode, output_nc=1))
    assert items[0]["image"].shape == (1, 8, 8)
    assert items.files_to_check() == [str(classes / name) for name in names(items, classes)]
    (classes / "c" / "5.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"--check_data found 1 broken: file 4 of 6: .*5\.png"):
        create_dataset(options(classes, mode, check_data=True))
    with pytest.raises(UserError, match="--output_nc 2: image files are read with"):
        dataset(options(classes, mode, output_nc=2))


# ---------------------------------------------------------------------- labeled


def test_labeled_numbers_the_folders_in_the_order_of_their_names(
    classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "info", said.append)
    opt = options(classes, "labeled")
    items = dataset(opt)
    assert count(opt) == 3 and said == ["classes: 0 a, 1 a-b, 2 c"]
    by_name = {Path(item["paths"]).name: item["label"] for item in map(items.__getitem__, range(6))}
    assert {name: int(label) for name, label in by_name.items()} == {
        "1.png": 0,
        "2.png": 0,
        "3.png": 1,
        "4.png": 2,
        "5.png": 2,
        "6.png": 2,
    }
    assert by_name["1.png"].dtype == torch.int64 and by_name["1.png"].shape == ()
    batch = next(iter(create_dataset(options(classes, "labeled", batch_size=6))))
    assert batch["label"].dtype == torch.int64 and sorted(batch["label"].tolist()) == [0, 0, 1, 2, 2, 2]


def test_labels_are_left_out_where_the_model_wants_none(classes: Path) -> None:
    assert "label" in dataset(options(classes, "labeled", n_classes=3))[0]
    assert set(dataset(options(classes, "labeled", n_classes=0))[0]) == {"image", "paths"}


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    draw(tmp_path / "1.png")
    opt = options(tmp_path, "labeled")
    assert count(opt) == 0 and set(dataset(opt)[0]) == {"image", "paths"}


def test_labeled_refuses_what_is_no_folder_a_class(classes: Path) -> None:
    (classes / "b").mkdir()
    (classes / "b" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"the class folder .*set/b holds no images: add some or remove it"):
        dataset(options(classes, "labeled"))
    draw(classes / "beside.png")
    for look in (count, dataset):
        with pytest.raises(
            UserError, match=r"holds images, such as beside\.png, next to the class folders a, a-b"
        ):
            look(options(classes, "labeled"))
        with pytest.raises(UserError, match=r"there is no folder .*nowhere; .* contains set"):
            look(options(classes.parent / "nowhere", "labeled"))


def test_max_dataset_size_takes_from_every_class(classes: Path) -> None:
    items = dataset(options(classes, "labeled", max_dataset_size=4))
    assert names(items, classes) == ["a-b/3.png", "a/1.png", "a/2.png", "c/5.png"]
    assert len(items.files_to_check()) == 4


def test_choose_goes_round_the_classes() -> None:
    labels = np.array([2, 2, 2, 2, 0, 0, 1])
    assert select_indices(7, labels, 5).tolist() == [0, 1, 4, 5, 6]
    assert select_indices(7, labels, 3).tolist() == [0, 4, 6]
    assert (
        select_indices(7, labels, 7).tolist() == select_indices(7, None, math.inf).tolist() == list(range(7))
    )
    assert select_indices(7, None, 2).tolist() == [0, 1]
    with pytest.raises(UserError, match="--max_dataset_size 0"):
        select_indices(7, labels, 0)


# ---------------------------------------------------------------------- noise


def noise(**changed: object) -> argparse.Namespace:
    values = {
        "isTrain": False,
        "model": "dcgan",
        "num_test": 5,
        "z_dim": 4,
        "n_classes": 0,
        "truncation": math.inf,
        "labels": [],
        "seed": 6,
    }
    return options(Path("."), "noise", **{**values, "dataroot": None, **changed})


def test_noise_is_decided_by_the_seed_alone() -> None:
    loader = create_dataset(noise(batch_size=2, num_test=3))
    assert isinstance(loader, Loader) and len(loader) == 3
    batches = list(loader)
    assert batches[0]["paths"] == ["seed000006.png", "seed000007.png"] and "label" not in batches[0]
    assert torch.equal(batches[0]["z"][1], seeded_z(7, 4))
    assert not find_dataset_using_name("noise").needs_dataroot
    cut = dataset(noise(truncation=0.5, num_test=50))
    assert max(cut[index]["z"].abs().max() for index in range(50)) <= 0.5
    assert torch.equal(cut[1]["z"], seeded_z(7, 4, 0.5))


def test_the_classes_of_noise_go_round_with_the_seed() -> None:
    items = dataset(noise(n_classes=4))
    assert [int(items[index]["label"]) for index in range(5)] == [2, 3, 0, 1, 2]
    assert items[1]["paths"] == "seed000007_class03.png" and items[1]["label"].dtype == torch.int64
    items = dataset(noise(n_classes=4, labels=[3, 1]))
    assert [int(items[index]["label"]) for index in range(4)] == [3, 1, 3, 1]


def test_noise_asks_for_as_many_classes_as_the_model_has() -> None:
    assert [count(noise(n_classes=number)) for number in (None, 0, 7)] == [0, 0, 7]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"n_classes": 3, "labels": [1, 3]}, r"--labels 1,3: class 3 is out of range.* 0 to 2"),
        ({"n_classes": 3, "labels": [-1]}, r"--labels -1: class -1 is out of range"),
        ({"labels": [1]}, r"--labels 1: this model has no classes"),
        ({"num_test": math.inf}, r"--num_test all: noise is unlimited"),
        (
            {"seed": 2**32 - 4},
            r"--seed 4294967292 with --num_test 5 exceeds .* 4294967295",
        ),
        ({"isTrain": True}, r"--dataset_mode noise has no images to train on"),
    ],
)
def test_noise_refuses_what_it_cannot_draw(changed: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        dataset(noise(**changed))


def test_the_last_seed_of_noise_is_drawn() -> None:
    assert dataset(noise(seed=2**32 - 5))[4]["paths"] == "seed4294967295.png"


def test_noise_is_for_models_that_start_from_it() -> None:
    opt = noise(model="pix2pix")
    del opt.z_dim
    with pytest.raises(
        UserError, match=r"is for models that generate images from noise, but --model pix2pix"
    ):
        dataset(opt)


def test_the_flags_of_noise() -> None:
    opt = parsed("noise")
    assert (opt.truncation, opt.labels) == (math.inf, [])
    opt = parsed("noise", "--truncation", "0.7", "--labels", "3,5")
    assert (opt.truncation, opt.labels) == (0.7, [3, 5])
    for words in (
        ["--truncation", "0"],
        ["--truncation", "-1"],
        ["--truncation", "nan"],
        ["--truncation", "x"],
    ):
        with pytest.raises(UserError, match=f"--truncation: {words[1]}"):
            parsed("noise", *words)
    with pytest.raises(UserError, match="--labels: 3,x is not a list of class numbers"):
        parsed("noise", "--labels", "3,x")


# ---------------------------------------------------------------------- torchvision


def tv(root: Path, name: str, **changed: object) -> argparse.Namespace:
    values = {"tv_dataset": name, "tv_category": "tower", "download": False}
    return options(root, "torchvision", **(values | changed))


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


def test_mnist_gives_both_parts_and_their_labels(mnist: Path) -> None:
    opt = tv(mnist, "MNIST", crop_size=28, output_nc=1)
    items = dataset(opt)
    assert (len(items), count(opt)) == (6, 10)
    pixels = np.frombuffer((mnist / "MNIST/raw/train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    expected = torch.from_numpy(pixels.reshape(6, 1, 28, 28) / 127.5 - 1).float()
    assert torch.allclose(items[2]["image"], expected[2], atol=1e-6) and int(items[2]["label"]) == 3
    assert items[2]["paths"] == "MNIST_train_000002.png"
    tested = dataset(tv(mnist, "MNIST", phase="test", crop_size=32))
    assert len(tested) == 4 and tested[0]["image"].shape == (3, 32, 32)
    assert "label" not in dataset(tv(mnist, "MNIST", n_classes=0))[0]
    with pytest.raises(UserError, match=r"--phase val: .* has the phases train and test"):
        dataset(tv(mnist, "MNIST", phase="val"))


def test_mnist_is_read_packed_as_it_is_downloaded(mnist: Path) -> None:
    expected = dataset(tv(mnist, "MNIST"))[5]["image"]
    raw = mnist / "MNIST" / "raw"
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    before = sorted(raw.iterdir())
    assert torch.equal(dataset(tv(mnist, "MNIST"))[5]["image"], expected)
    assert sorted(raw.iterdir()) == before


def test_cifar_has_the_labels_that_torchvision_calls_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

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


def test_stl10_has_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    np.zeros((2, 3, 96, 96), np.uint8).tofile(folder / "test_X.bin")
    np.array([10, 1], np.uint8).tofile(folder / "test_y.bin")
    items = dataset(tv(tmp_path, "STL10", phase="test", crop_size=96))
    assert [int(items[index]["label"]) for index in range(2)] == [9, 0]
    assert items[0]["image"].shape == (3, 96, 96) and items[0]["image"].max() == -1


def test_celeba_is_the_square_around_the_face_without_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.CelebA, "_check_integrity", lambda self: True)
    folder = tmp_path / "celeba"
    for number, name in enumerate(["1.jpg", "2.jpg", "3.jpg", "4.jpg"]):
        draw(folder / "img_align_celeba" / name, (178, 218 - number))
    (folder / "list_eval_partition.txt").write_text("1.jpg 0\n2.jpg 2\n3.jpg 0\n4.jpg 2\n")
    (folder / "identity_CelebA.txt").write_text("1.jpg 5\n2.jpg 6\n3.jpg 7\n4.jpg 8\n")
    for name in ("list_bbox_celeba", "list_landmarks_align_celeba", "list_attr_celeba"):
        (folder / f"{name}.txt").write_text("4\nx y\n" + "".join(f"{n}.jpg 1 -1\n" for n in (1, 2, 3, 4)))
    given = parsed("torchvision", "--tv_dataset", "CelebA")
    opt = tv(tmp_path, "CelebA", preprocess=given.preprocess, center_size=given.center_size)
    items = dataset(opt)
    assert (len(items), count(opt), set(items[0])) == (2, 0, {"image", "paths"})
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
    lmdb.open(
        str(tmp_path / "tower_val_lmdb"), readonly=True, lock=False
    ).close()  # fails where we left it open
    expected = Image.open(tmp_path / "2.png").resize((8, 8), Image.Resampling.BICUBIC)
    assert torch.equal(items[2]["image"], to_tensor(expected)) and "label" not in items[2]
    plain, workers = (
        list(create_dataset(argparse.Namespace(**{**vars(opt), "num_threads": n}))) for n in (0, 2)
    )
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(plain, workers, strict=True))
    assert torch.equal(pickle.loads(pickle.dumps(items))[2]["image"], items[2]["image"])
    with pytest.raises(UserError, match=r"tower_val_0000004\.png cannot be read as an image"):
        dataset(tv(tmp_path, "LSUN", phase="test"))[4]
    assert not list(tmp_path.glob("_cache*"))
    with pytest.raises(UserError, match=r"there is no LSUN in .*tower_train_lmdb: .*--download cannot"):
        dataset(tv(tmp_path, "LSUN"))


def test_lsun_without_its_package_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--tv_dataset LSUN needs the package lmdb: pip install lmdb"):
        dataset(tv(tmp_path, "LSUN"))


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "STL10", "CelebA"])
def test_a_set_that_is_not_on_disk_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"finds no {name} in {tmp_path}: .*, or add --download"):
        dataset(tv(tmp_path, name))
    assert not list(tmp_path.iterdir())


def test_download_is_left_to_torchvision(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    asked: list[str] = []
    monkeypatch.setattr(datasets.MNIST, "download", lambda self: asked.append(self.root))
    dataset(tv(mnist, "MNIST"))
    assert not asked
    dataset(tv(mnist, "MNIST", download=True))
    assert asked == [str(mnist)]

    def fails(self: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(datasets.MNIST, "download", fails)
    with pytest.raises(UserError, match=r"MNIST could not be downloaded into .*: no network"):
        dataset(tv(mnist, "MNIST", download=True))


def test_defaults_follow_the_set() -> None:
    def shared(name: str, *words: str) -> tuple:
        opt = parsed("torchvision", "--tv_dataset", name, *words)
        return opt.input_nc, opt.output_nc, opt.no_flip, opt.preprocess, opt.center_size

    assert shared("MNIST") == (1, 1, True, "resize", 0)
    assert shared("FashionMNIST") == (1, 1, False, "resize", 0)
    assert shared("CIFAR10") == (3, 3, False, "resize", 0)
    assert shared("CelebA") == (3, 3, False, "center", 160)
    assert shared("MNIST", "--output_nc", "3", "--no_flip", "false") == (1, 3, False, "resize", 0)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="no MNIST beside the checkout")
def test_the_real_mnist() -> None:
    opt = tv(SHARED / "mnist", "MNIST", phase="test", crop_size=32, output_nc=1)
    items = dataset(opt)
    assert len(items) == 10_000 and items[0]["image"].shape == (1, 32, 32)
    assert [int(items[index]["label"]) for index in range(5)] == [7, 2, 1, 0, 4]


# ---------------------------------------------------------------------- hdf5


def make_hdf5(*words: object) -> None:
    pytest.importorskip("h5py", reason="needs the package h5py")
    load_script("scripts/make_hdf5.py").main([str(word) for word in words])


@pytest.fixture
def h5(classes: Path, tmp_path: Path) -> Path:
    make_hdf5("--dataroot", classes, "--out", tmp_path / "set.h5", "--size", 8, "--labeled")
    return tmp_path / "set.h5"


def test_hdf5_gives_what_the_folders_give(classes: Path, h5: Path) -> None:
    opt = options(h5, "hdf5")
    stored, plain = dataset(opt), dataset(options(classes, "labeled"))
    assert count(opt) == 3 and len(stored) == len(plain) == 6
    for index in range(6):
        assert torch.equal(stored[index]["image"], plain[index]["image"])
        assert torch.equal(stored[index]["label"], plain[index]["label"])
    assert stored[4]["paths"] == "set_0000004.png"
    assert "label" not in dataset(options(h5, "hdf5", n_classes=0))[0]
    assert [
        int(item["label"])
        for item in map(dataset(options(h5, "hdf5", max_dataset_size=3)).__getitem__, range(3))
    ] == [1, 0, 2]


def test_hdf5_is_opened_anew_in_every_worker(h5: Path) -> None:
    opt = options(h5, "hdf5", num_threads=3)
    expected = [dataset(opt)[index]["image"] for index in range(6)]
    loader = create_dataset(opt)
    loader.dataset[0]  # open in the main process, too, when the workers are forked
    for epoch in range(1, 4):
        for batch in loader.epoch(epoch):
            index = int(batch["paths"][0].split("_")[1].removesuffix(".png"))
            assert torch.equal(batch["image"][0], expected[index])
    assert torch.equal(pickle.loads(pickle.dumps(loader.dataset))[3]["image"], expected[3])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_is_open_is_not_shared_over_a_fork(tmp_path: Path) -> None:
    shared = OpenPerProcess(partial(open, draw(tmp_path / "1.png"), "rb"))
    ours = shared()
    assert shared() is ours
    child = os.fork()
    if not child:
        theirs = shared()
        os._exit(0 if theirs is not ours and ours.closed and theirs.tell() == 0 and shared() is theirs else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert shared() is ours and not ours.closed
    shared.close()
    assert ours.closed and not shared().closed


def test_hdf5_of_another_kind_is_refused(h5: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with pytest.raises(
        UserError, match=r"8x8 pixels and 3 channels, not of 16x16 \(--crop_size 16\) and 1 \(--output_nc 1"
    ):
        dataset(options(h5, "hdf5", crop_size=16, output_nc=1))
    for path in (tmp_path / "nowhere.h5", tmp_path, draw(tmp_path / "1.png")):
        for look in (count, dataset):
            with pytest.raises(UserError, match=r"cannot be opened as HDF5"):
                look(options(path, "hdf5"))
    with h5py.File(h5, "a") as file:
        file["labels"][0] = 3
    with pytest.raises(UserError, match=r'"labels" must be 6 whole numbers from 0 to 2'):
        dataset(options(h5, "hdf5"))
    with h5py.File(h5, "a") as file:
        del file.attrs["n_classes"]
    with pytest.raises(UserError, match="labels but no attribute n_classes"):
        count(options(h5, "hdf5"))
    with h5py.File(h5, "a") as file:
        del file["images"]
        file["images"] = np.zeros((6, 8, 8, 3), np.float32)
    with pytest.raises(UserError, match=r'"images" must be uint8 \(N, S, S, C\)'):
        dataset(options(h5, "hdf5"))


def test_make_hdf5_knows_grey_flat_folders_and_other_squares(tmp_path: Path) -> None:
    draw(tmp_path / "flat" / "1.png", (12, 20))
    stored = Image.open(tmp_path / "flat" / "1.png")
    out = tmp_path / "new" / "grey.h5"
    make_hdf5("--dataroot", tmp_path / "flat", "--out", out, "--size", 8, "--grey", "--center_size", 10)
    opt = options(out, "hdf5", output_nc=1)
    assert count(opt) == 0 and set(dataset(opt)[0]) == {"image", "paths"}
    middle = stored.convert("L").crop((1, 5, 11, 15)).resize((8, 8), Image.Resampling.BICUBIC)
    assert torch.equal(dataset(opt)[0]["image"], to_tensor(middle))
    written = []
    for _ in range(2):
        make_hdf5("--dataroot", tmp_path / "flat", "--out", out, "--size", 12, "--preprocess", "long_edge")
        written.append(dataset(options(out, "hdf5", crop_size=12))[0]["image"])
    assert torch.equal(*written)
    squares = [to_tensor(stored.crop((0, y, 12, y + 12))) for y in range(9)]
    assert sum(torch.equal(written[0], square) for square in squares) == 1


def test_make_hdf5_leaves_the_old_file_or_none(classes: Path, h5: Path, tmp_path: Path) -> None:
    before = h5.read_bytes()
    (classes / "c" / "6.png").write_bytes(b"no image")
    for out in (h5, tmp_path / "new.h5"):
        with pytest.raises(UserError, match=r"6\.png cannot be read"):
            make_hdf5("--dataroot", classes, "--out", out, "--size", 8)
    assert h5.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.h5"]


def test_make_hdf5_refuses_wrong_words(classes: Path, tmp_path: Path) -> None:
    for words, sentence in (
        (["--size", 0, "--out", tmp_path / "x.h5"], "--size 0 is out of range"),
        (["--size", 8, "--out", tmp_path], "is a folder; name a file"),
    ):
        with pytest.raises(UserError, match=sentence):
            make_hdf5("--dataroot", classes, *words)
    with pytest.raises(UserError, match=r"--labeled: .* has no folders"):
        make_hdf5("--dataroot", classes / "a", "--size", 8, "--out", tmp_path / "x.h5", "--labeled")


def test_hdf5_without_its_package_says_which(h5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--dataset_mode hdf5 needs the package h5py: pip install h5py"):
        count(options(h5, "hdf5"))


# ---------------------------------------------------------------------- --load_in_mem


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize(
    "mode", ["center", "long_edge", "resize", "resize_and_crop", "crop", "scale_width_and_crop", "none"]
)
def test_held_images_give_the_same_pixels(tmp_path: Path, mode: str, threads: int) -> None:
    for number, size in enumerate([(12, 9), (9, 12), (16, 16), (11, 10)]):
        draw(tmp_path / f"{number}.png", size)
    changed = {"preprocess": mode, "no_flip": False, "output_nc": 1 if mode == "center" else 3}
    plain, held = (
        create_dataset(
            options(
                tmp_path, "folder", cache="memory" if held else "off", num_threads=threads * held, **changed
            )
        )
        for held in (False, True)
    )
    for epoch in (1, 2):
        for a, b in zip(plain.epoch(epoch), held.epoch(epoch), strict=True):
            assert torch.equal(a["image"], b["image"]) and a["paths"] == b["paths"]


def test_held_images_are_read_once(classes: Path) -> None:
    opt = options(classes, "labeled", cache="memory", n_classes=3, max_dataset_size=4)
    items = dataset(opt)
    expected = [items[index] for index in range(4)]
    shutil.rmtree(classes)
    for index in range(4):
        assert torch.equal(items[index]["image"], expected[index]["image"])
        assert torch.equal(items[index]["label"], expected[index]["label"])


@pytest.mark.parametrize("mode", ["hdf5", "torchvision"])
def test_other_sets_are_held_too(h5: Path, mnist: Path, mode: str) -> None:
    opt = options(h5, "hdf5") if mode == "hdf5" else tv(mnist, "MNIST", output_nc=1)
    expected = [dataset(opt)[index]["image"] for index in range(6)]
    opt.cache = "memory"
    items = dataset(opt)
    for index in range(6):
        items[index]
    items.images.load_entry = None
    assert all(torch.equal(items[index]["image"], expected[index]) for index in range(6))


def test_more_than_the_free_memory_is_refused(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opt = options(classes, "folder", cache="memory")
    needed = 6 * 8 * 8 * 3
    monkeypatch.setattr(choose_store, "available_bytes", lambda: needed - 1)
    with pytest.raises(
        UserError, match=r"--cache memory needs about 0\.0 MB for 6 images \(each process has 0\.0 MB"
    ):
        dataset(opt)
    for enough in (needed, None):
        monkeypatch.setattr(choose_store, "available_bytes", lambda enough=enough: enough)
        assert len(dataset(opt).images.store) == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(choose_store, "available_bytes", lambda: 2 * needed - 1)
    with pytest.raises(UserError, match=r"each process has 0\.0 MB of free memory"):
        dataset(opt)


def test_no_more_is_taken_than_may_be_needed(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opt, rooms = options(classes, "folder", cache="memory"), []
    monkeypatch.setattr(choose_store, "SharedPixels", lambda count, capacity: rooms.append(capacity))
    for available in (10**15, 5000, None):
        monkeypatch.setattr(choose_store, "available_bytes", lambda available=available: available)
        dataset(opt)
    needed = 6 * 8 * 8 * 3
    assert rooms == [2 * needed + choose_store.MARGIN, 5000, 2 * needed + choose_store.MARGIN]


def test_memory_that_the_system_refuses_is_told(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(count: int, capacity: int) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(choose_store, "SharedPixels", refused)
    with pytest.raises(UserError, match=r"--cache memory needs .* Cannot allocate memory\): use"):
        dataset(options(classes, "folder", cache="memory"))


def test_available_memory_knows_the_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.cache import free_memory

    monkeypatch.setattr(free_memory, "CGROUPS", tmp_path)
    (tmp_path / "own").write_text("12:cpu,cpuacct:/else\n0::/job/step\n")
    monkeypatch.setattr(free_memory, "OWN_CGROUP", tmp_path / "own")
    free = available_bytes()
    assert free is None or free > 10**6
    group = tmp_path / "job"
    (group / "step").mkdir(parents=True)
    for name, text in {
        "max": "1000000",
        "current": "700000",
        "stat": "anon 5\nactive_file 100\ninactive_file 20",
    }.items():
        (group / f"memory.{name}").write_text(text)
    (group / "step" / "memory.max").write_text("max")
    assert available_bytes() == 300_120
