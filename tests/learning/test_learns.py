"""Train each family for minutes and judge its images with classifiers:  make test-learning

To run one of them: python -m pytest -m learning -s -k test_cgan. Sheets of the images are written to learning/.
"""

import gzip
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from judges import Judge, MnistClassifier, Resnet20, load_resnet20, train_mnist_classifier
from PIL import Image
from torch import Tensor

from data import create_dataset
from models import create_model
from models.base_model import BaseModel, Batch
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.imaging.images import save_image, sheet, to_uint8
from util.metrics.diversity import mean_pairwise_distance
from util.metrics.frechet import frechet_distance, statistics
from util.noise import seeded_batch
from util.run.random_state import seed_everything

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
SHEETS = ROOT / "learning"

SEED = 0
FAKES, REALS, PAIRED = 1000, 4000, 500

MNIST = "--dataset_mode torchvision --tv_dataset MNIST --crop_size 32 --ngf 24 --ndf 24"
# the flags of each family, to which the place of its data set and COMMON are added
TRAINING = {
    "cgan": f"{MNIST} --n_epochs 2 --n_epochs_decay 1 --lr_policy linear --lr 4e-4 --ema_decay 0.998",
    "dcgan": f"{MNIST} --n_epochs 1 --lr 4e-4 --ema_decay 0.998",
    "sagan": "--dataset_mode folder --center_size 80 --crop_size 64 --ngf 16 --ndf 16 --batch_size 16 --n_epochs 5 "
    "--lr_G 1e-3 --lr_D 5e-4",
    "biggan": "--dataset_mode labeled --crop_size 32 --ngf 8 --ndf 8 --batch_size 16 --n_critic 1 --n_epochs 8 "
    "--lr 8e-4",
}
COMMON = (
    f"--seed {SEED} --device auto --num_threads 0 --display console --print_freq 20000 "
    "--display_freq 1000000000 --save_latest_freq 1000000000 --save_epoch_freq 1000000"
)

pytestmark = [
    pytest.mark.learning,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no images to learn from: {DATA} is absent"),
]


@dataclass(frozen=True)
class Drawn:
    """Images in [-1, 1]: real ones, and those of a generator before and after training."""

    real: Tensor
    before: Tensor
    after: Tensor
    labels: Tensor | None  # requested, (FAKES,) int64


@pytest.fixture(scope="module")
def digits_judge() -> MnistClassifier:
    learned, unseen = digits("train"), digits("t10k")
    judge = train_mnist_classifier(*learned, epochs=2, seed=SEED)
    right = share_of(judge, *unseen)
    print(f"\nthe digit classifier labels {right:.2%} of unseen digits correctly")
    assert right >= 0.985
    return judge


@pytest.fixture(scope="module")
def photo_judge() -> Resnet20:
    judge = load_resnet20(DATA / "cifar10" / "resnet20-12fca82f.th")
    with np.load(DATA / "cifar10" / "train5085.npz") as stored:
        images, labels = stored["x"], torch.from_numpy(stored["y"]).long()
    right = share_of(judge, torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, labels)
    print(f"\nthe photograph classifier labels {right:.2%} of CIFAR-10 correctly")
    assert right >= 0.9
    return judge


def digits(part: str) -> tuple[Tensor, Tensor]:
    """MNIST's own files of `part`, train or t10k: images (N, 1, 28, 28) in [-1, 1] and their labels (N,)."""

    def stored(name: str, offset: int) -> Tensor:
        path = DATA / "mnist" / "MNIST" / "raw" / f"{part}-{name}-ubyte.gz"
        return torch.tensor(np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset))

    return stored("images-idx3", 16).view(-1, 1, 28, 28) / 127.5 - 1, stored("labels-idx1", 8).long()


def share_of(judge: Judge, images: Tensor, labels: Tensor) -> float:
    """The share of images that the classifier labels like `labels`."""
    return (judge.look(images).labels == labels).float().mean().item()


def test_cgan_draws_the_requested_digits(tmp_path: Path, digits_judge: MnistClassifier) -> None:
    drawn = train_and_draw("cgan", DATA / "mnist", tmp_path)
    assert drawn.labels is not None
    verdict = digits_judge.look(drawn.after).labels
    for digit in range(10):
        right = (verdict == digit)[drawn.labels == digit].float().mean().item()
        print(f"  {right:.0%} of the {digit}s", end="")
    right = (verdict == drawn.labels).float().mean().item()
    print(f"\n  {right:.1%} of {FAKES} digits are classified as the requested digit")
    assert right >= 0.95


def test_dcgan_draws_digits(tmp_path: Path, digits_judge: MnistClassifier) -> None:
    judge_likeness(train_and_draw("dcgan", DATA / "mnist", tmp_path), digits_judge)


def test_sagan_draws_faces(tmp_path: Path, photo_judge: Resnet20) -> None:
    judge_likeness(train_and_draw("sagan", DATA / "faces", tmp_path), photo_judge)


def test_biggan_draws_objects(tmp_path: Path, photo_judge: Resnet20) -> None:
    folders = tmp_path / "cifar10"
    write_class_folders(DATA / "cifar10" / "train5085.npz", folders)
    drawn = train_and_draw("biggan", folders, tmp_path)
    assert drawn.labels is not None
    judge_likeness(drawn, photo_judge)
    print(
        f"  {share_of(photo_judge, drawn.after, drawn.labels):.1%} are classified as the requested class; by chance it would be 10 %"
    )


def judge_likeness(drawn: Drawn, judge: Judge) -> None:
    """Training at least halves the distance of features to the real ones, and the images stay diverse."""
    real = judge.look(drawn.real).features
    halves = [statistics(half) for half in real.chunk(2)]
    before, after = (
        frechet_distance(statistics(judge.look(images).features), statistics(real))
        for images in (drawn.before, drawn.after)
    )
    print(f"  Frechet distance of features of {judge.extractor}:")
    print(
        f"  {before:.2f} at first, {after:.2f} trained; halves of the real set {frechet_distance(*halves):.2f}"
    )
    spread, real_spread = (mean_pairwise_distance(x[:PAIRED]) for x in (drawn.after, drawn.real))
    print(f"  mean distance of {PAIRED} images from each other: {spread:.2f} drawn, {real_spread:.2f} real")
    assert after <= before / 2
    assert spread >= real_spread / 2


def train_and_draw(model: str, dataroot: Path, folder: Path) -> Drawn:
    """Train with the command line in `folder`, draw images and write a sheet of them."""
    words = [*run_words(model, folder), "--model", model, "--dataroot", str(dataroot)]
    words += [*TRAINING[model].split(), *COMMON.split()]
    print(f"\npython train.py {' '.join(words)}", flush=True)
    start = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "train.py"), *words], cwd=folder, check=True)
    print(f"  {time.perf_counter() - start:.0f} s of training")

    real = real_images(TrainOptions().parse(words))
    labels = torch.arange(FAKES) % 10 if model in ("cgan", "biggan") else None
    before, after = (draw(model, folder, labels, trained=trained) for trained in (False, True))
    path = SHEETS / f"{model}.png"
    path.parent.mkdir(exist_ok=True)
    save_image(sheet(to_uint8(after[:100]), columns=10), path)
    print(f"  {path}")
    return Drawn(real, before, after, labels)


def run_words(model: str, folder: Path) -> list[str]:
    return ["--name", model, "--checkpoints_dir", str(folder / "runs")]


def draw(model: str, folder: Path, labels: Tensor | None, *, trained: bool) -> Tensor:
    """FAKES images on the CPU, with seeds from 0."""
    # untrained networks have no batch statistics yet, so those of the batch are used
    opt = TestOptions().parse([*run_words(model, folder), "--eval", str(trained).lower()])
    seed_everything(SEED)
    generator = create_model(opt)
    if trained:
        generator.load_networks("latest")
    return torch.cat([part.cpu() for part in parts_drawn(generator, opt, labels)])


def parts_drawn(model: BaseModel, opt: Namespace, labels: Tensor | None) -> Iterator[Tensor]:
    for rows in torch.arange(FAKES).split(100):
        batch: Batch = {"z": seeded_batch(int(rows[0]), len(rows), opt.z_dim)}
        if labels is not None:
            batch["label"] = labels[rows]
        yield model.test(batch)["fake"]


def real_images(opt: Namespace) -> Tensor:
    """REALS images as the networks see them, in random order."""
    seed_everything(SEED)
    loader = create_dataset(opt)
    chosen = torch.randperm(len(loader))[:REALS].tolist()
    return torch.stack([loader.dataset[index]["image"] for index in chosen])


def write_class_folders(stored: Path, folder: Path) -> None:
    """x (N, H, W, 3) uint8, y (N,) and the names of the classes -> <folder>/<class>/<index>.png."""
    with np.load(stored) as arrays:
        images, labels, names = arrays["x"], arrays["y"], arrays["classes"]
    for name in names:
        (folder / str(name)).mkdir(parents=True)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(folder / str(names[label]) / f"{index:05d}.png")
