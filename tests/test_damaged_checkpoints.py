"""Damaged, crafted and half-written checkpoints are refused, and name what else the run has saved."""

import os
import random
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import names_all, random_batch, refused

from models import create_model
from util.clock import Clock
from util.run import checkpoint, weights
from util.run.checkpoint import Checkpoint

OptionMaker = Callable[..., Namespace]
Runner = Callable[..., int]


# ---------------------------------------------------------------------- damaged files


def flip_bits(path: Path, *, seed: int) -> None:
    """Invert one bit in the data of the tensors, which make up nearly all of the file."""
    data, rng = bytearray(path.read_bytes()), random.Random(seed)
    place = rng.randrange(len(data) // 4, len(data) * 3 // 4)
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def zero_a_page(path: Path, *, seed: int) -> None:
    data, rng = bytearray(path.read_bytes()), random.Random(seed)
    start = rng.randrange(len(data) // 4, len(data) // 2) // 4096 * 4096
    data[start : start + 4096] = bytes(4096)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [flip_bits, zero_a_page])
@pytest.mark.parametrize("read", [checkpoint.load, weights.read])
def test_a_damaged_checkpoint_is_refused(
    tmp_path: Path, damage: Callable[..., None], read: Callable[[Path], Any]
) -> None:
    """Each file contains the checksums that show it; torch.load does not read them."""
    path = tmp_path / "latest_net_G.pth"
    for seed in range(10):
        checkpoint.save({"weight": torch.randn(64, 1024), "bias": torch.randn(64)}, path)
        damage(path, seed=seed)
        with refused(path):
            read(path)


def test_a_damaged_state_names_the_older_saves(
    run_script: Runner, unpaired: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    place = ["--checkpoints_dir", tmp_path, "--name", "r"]
    words = (
        "--model dcgan --dataset_mode folder --load_size 36 --crop_size 32 --ngf 8 --ndf 8 --num_threads 0"
    )
    words += " --n_epochs 2 --n_epochs_decay 0 --save_epoch_freq 1 --display console --batch_size 2"
    assert run_script("train.py", *place, "--dataroot", unpaired / "trainA", *words.split()) == 0
    flip_bits(tmp_path / "r" / "latest_state.pt", seed=0)
    capfd.readouterr()
    assert run_script("train.py", *place, "--continue_train", "--n_epochs", 3) == 2
    sentence = capfd.readouterr().err.strip().splitlines()[-1]
    assert names_all(sentence, [tmp_path / "r" / "latest_state.pt", "--epoch", 2])


# ---------------------------------------------------------------------- crafted states


@pytest.fixture
def trained(train_opt: OptionMaker) -> tuple[Any, dict]:
    """A model after a step, and its state."""
    model = create_model(train_opt("--model", "dcgan"))
    model.optimize_parameters(random_batch("latent"))
    return model, deepcopy(model.state_dict())


def moments(state: dict, dimensions: int) -> dict:
    """The optimizer's state of the first parameter with so many dimensions."""
    states = next(iter(state["optimizers"].values()))["state"].values()
    return next(state for state in states if state["exp_avg"].ndim == dimensions)


def shorter(tensor: torch.Tensor) -> torch.Tensor:
    """Equal strides, fewer elements."""
    return tensor[:1].clone()


def broadcastable(tensor: torch.Tensor) -> torch.Tensor:
    """Other strides, and a shape that torch would repeat."""
    return torch.zeros((1,) * tensor.ndim).transpose(0, -1)


def empty(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:0].clone()


def whole_numbers(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.long()


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize(
    ("dimensions", "change"),
    [(1, shorter), (1, empty), (1, broadcastable), (4, shorter), (4, broadcastable), (1, whole_numbers)],
)
def test_moments_that_do_not_fit_their_parameter_are_refused(
    tmp_path: Path,
    trained: tuple[Any, dict],
    name: str,
    dimensions: int,
    change: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """The fused Adam would read and write beyond a tensor that is too small."""
    model, state = trained
    moment = moments(state, dimensions)
    moment[name] = change(moment[name])
    run = Checkpoint(tmp_path, {"model": model}, {})
    checkpoint.save(run.state_dict() | {"parts": {"model": state}}, run.path)
    with refused(run.path):
        run.load()


def test_a_step_count_that_is_no_scalar_is_refused(tmp_path: Path, trained: tuple[Any, dict]) -> None:
    model, state = trained
    moments(state, 1)["step"] = torch.tensor([1.0, 2.0])
    run = Checkpoint(tmp_path, {"model": model}, {})
    checkpoint.save(run.state_dict() | {"parts": {"model": state}}, run.path)
    with refused(run.path):
        run.load()


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps", "many"), ("steps", -1), ("steps", 1.5), ("terms", 7), ("terms", {"D": 7})],
    ids=str,
)
def test_hand_made_values_in_a_models_state_are_refused(
    tmp_path: Path, trained: tuple[Any, dict], key: str, value: object
) -> None:
    model, state = trained
    run = Checkpoint(tmp_path, {"model": model}, {})
    checkpoint.save(run.state_dict() | {"parts": {"model": state | {key: value}}}, run.path)
    with refused(run.path):
        run.load()


@pytest.mark.parametrize(
    "value",
    [{"epoch": "x"}, {"epoch": -3}, {"images": 1.5}, {"epoch_images": -2}, {"epoch_images": 40}],
    ids=str,
)
def test_hand_made_values_of_the_clock_are_refused(tmp_path: Path, value: dict) -> None:
    run = Checkpoint(tmp_path, {"clock": Clock()}, {})
    state = {"epoch": 2, "epoch_images": 4, "images": 10} | value
    checkpoint.save(run.state_dict() | {"parts": {"clock": state}}, run.path)
    with refused(run.path):
        run.load()


def quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will drop quantized tensors, but old files may hold them
        return torch.quantize_per_tensor(torch.ones(4, 4), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.ones(4, 4).to_sparse()},
        {"weight": torch.empty(4, 4, device="meta")},
        {"weight": quantized()},
        {7: torch.ones(4, 4)},
        {"weight": torch.ones(4, 4, dtype=torch.complex64)},
    ],
    ids=["sparse", "meta", "quantized", "integer key", "complex"],
)
def test_unusual_tensors_in_weights_are_refused(tmp_path: Path, state: dict) -> None:
    """A net accepts plain tensors of real numbers under names; the sentence names the file."""
    path = tmp_path / "latest_net_G.pth"
    torch.save(state, path)
    net = torch.nn.Linear(4, 4, bias=False)
    with refused(path):
        weights.load_into(net, path, "G")


def test_a_fifo_as_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latest_state.pt"
    os.mkfifo(path)
    with refused(path):
        checkpoint.load(path)


def write_archive(
    path: Path, value: object, *, pickled: bytes | None = None, compressed: bool = False
) -> None:
    """A file as of torch.save, with another pickle or compressed."""
    torch.save(value, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in parts.items():
            archive.writestr(name, pickled if pickled and name.endswith("data.pkl") else content)


def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """torch.load itself unpacks compressed parts, and keeps a stride of 0."""
    path = tmp_path / "latest_net_G.pth"
    write_archive(path, {"weight": torch.zeros(10**6)}, compressed=True)
    with refused(path):
        weights.read(path)
    torch.save({"weight": torch.zeros(1).expand(10**12)}, path)
    for read in (weights.read, checkpoint.load):
        with refused(path):
            read(path)
    torch.save({"weight": torch.zeros(4).expand(100, 4)}, path)  # a small one is harmless
    assert weights.read(path)["weight"].shape == (100, 4)


def pairs(count: int) -> bytes:
    """A pickled tuple: of two tuples, each of two tuples, and so on; each pair is one tuple twice."""
    return b")q\x01" + b"h\x01\x86q\x01" * count


def triples(count: int) -> bytes:
    return b"(" * count + b")q\x01" + b"h\x01h\x01tq\x01" * count


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("key", [pairs, triples])
def test_a_key_whose_hash_takes_years_is_refused(
    tmp_path: Path, key: Callable[[int], bytes], old_format: bool
) -> None:
    path = tmp_path / "latest_net_G.pth"
    for count in (3, 100):
        pickled = b"\x80\x02}" + key(count) + b"K\x01s."
        if old_format:
            torch.save({}, path, _use_new_zipfile_serialization=False)
            path.write_bytes(path.read_bytes().replace(b"\x80\x02}q\x00.", pickled))
        else:
            write_archive(path, {}, pickled=pickled)
        if count == 3:
            assert len(torch.load(path, weights_only=True)) == 1  # a valid file
        with refused(path):
            weights.read(path)


def test_an_archive_with_two_values_is_refused(tmp_path: Path) -> None:
    """torch and zipfile could read different ones."""
    path = tmp_path / "latest_net_G.pth"
    torch.save({"weight": torch.zeros(4)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        archive.writestr(name.upper(), archive.read(name))
    with refused(path):
        weights.read(path)
