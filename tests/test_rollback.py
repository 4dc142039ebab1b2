"""Numbered saves: going back to one, whole states with them, and keeping only the last ones."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import names_all
from test_contract import assert_same_state

WORDS = """
--model dcgan --dataset_mode folder --load_size 36 --crop_size 32 --ngf 8 --ndf 8 --num_threads 0 --batch_size 2
--n_epochs 2 --n_epochs_decay 2 --save_epoch_freq 1 --print_freq 2 --display_freq 2
--display console,loss_log,jsonl,html --name r
""".split()
BACK = ["--continue_train", "--epoch", 2]


@pytest.fixture
def train(run_script: Callable[..., int], unpaired: Path, tmp_path: Path) -> Callable[..., int]:
    """Run train.py on six images; four epochs of three steps unless the words say otherwise."""

    def run(*words: object) -> int:
        place = ["--checkpoints_dir", tmp_path / "runs", "--dataroot", unpaired / "trainA", "--name", "r"]
        return run_script("train.py", *place, *([] if "--continue_train" in words else WORDS), *words)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "r"


def sums(folder: Path) -> dict[str, str]:
    """Path of each file of a run -> its checksum, without pages, which are written again."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".html"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def epochs_of(output: str) -> list[int]:
    """The epochs that loss lines name."""
    return sorted({int(epoch) for epoch in re.findall(r"\(epoch: (\d+),", output)})


def state(path: Path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("words", [[], ["--save_states"]], ids=["weights", "states"])
def test_going_back_continues_with_the_next_epoch_and_overwrites_nothing(
    train: Callable[..., int], folder: Path, capfd: pytest.CaptureFixture, words: list[str]
) -> None:
    assert train(*words) == 0
    before = sums(folder)
    capfd.readouterr()
    assert train(*BACK) == 0
    told = capfd.readouterr()
    aside = folder / "after_epoch_2"
    assert epochs_of(told.out) == [3, 4] and names_all(told.out, [aside])
    assert "--epoch_count" not in told.out + told.err
    after = sums(folder)
    kept = set(after.values())
    options = ("opt.json", "train_opt.txt")
    lost = [name for name, digest in before.items() if digest not in kept and name not in options]
    assert not lost
    for name in ("1_net_G.pth", "2_net_G.pth", "web/images/epoch002_fake.png"):
        assert after.get(name) == before.get(name)
    for name in ("3_net_G.pth", "4_net_D.pth", "latest_net_G.pth", "latest_state.pt", "losses.jsonl"):
        assert sums(aside)[name] == before[name]
    logged = [
        epochs_of((folder / "loss_log.txt").read_text()),
        len((folder / "losses.jsonl").read_text().splitlines()),
    ]
    assert logged == [[1, 2, 3, 4], 12]
    clock = state(folder / "latest_state.pt")["parts"]["clock"]
    assert clock == {"epoch": 5, "epoch_images": 0, "images": 24}
    exact = after["latest_net_G.pth"] == before["latest_net_G.pth"]
    assert exact == bool(words)


def test_with_states_going_back_is_exact(train: Callable[..., int], folder: Path) -> None:
    assert train("--save_states", "--ema_decay", 0.9) == 0
    before = state(folder / "latest_state.pt")
    assert train(*BACK) == 0
    assert_same_state(state(folder / "latest_state.pt"), before)
    assert_same_state(state(folder / "4_state.pt"), before)
    assert train(*BACK) == 0
    assert (folder / "after_epoch_2_1" / "4_state.pt").exists()
    assert_same_state(state(folder / "latest_state.pt"), before)


def test_a_run_that_went_back_can_be_resumed_before_its_next_save(
    train: Callable[..., int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--save_states") == 0
    with monkeypatch.context() as patch:
        patch.setattr("models.dcgan_model.DCGANModel.optimize_parameters", interrupted, raising=True)
        assert train(*BACK) == 130
    assert train("--continue_train") == 0
    assert state(folder / "latest_state.pt")["parts"]["clock"]["images"] == 24


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt


def test_a_given_epoch_count_is_used_without_advice(
    train: Callable[..., int], capfd: pytest.CaptureFixture
) -> None:
    assert train() == 0
    capfd.readouterr()
    assert train(*BACK, "--epoch_count", 4) == 0
    told = capfd.readouterr()
    assert epochs_of(told.out) == [4] and "--epoch_count" not in told.err


@pytest.mark.parametrize("words", [[], ["--save_states"]], ids=["weights", "states"])
def test_going_back_to_an_image(train: Callable[..., int], folder: Path, words: list[str]) -> None:
    assert train(*words, "--save_by_iter", "--save_latest_freq", 4, "--save_epoch_freq", 50) == 0
    before = sums(folder)
    assert train("--continue_train", "--load_iter", 8) == 0
    aside, after = sums(folder / "after_epoch_2"), sums(folder)
    assert "iter_12_net_G.pth" in aside and "iter_8_net_G.pth" not in aside
    assert all(after[name] == before[name] for name in ("iter_4_net_G.pth", "iter_8_net_G.pth"))
    assert (after["latest_net_G.pth"] == before["latest_net_G.pth"]) == bool(words)


def test_only_the_last_numbered_saves_are_kept(train: Callable[..., int], folder: Path) -> None:
    folder.mkdir(parents=True)
    others = ["best_net_G.pth", "1_net_other.pth", "1_notes.txt"]
    assert train("--n_epochs_decay", 0) == 0
    for name in others:
        (folder / name).write_bytes((folder / "1_net_G.pth").read_bytes())
    words = ["--save_states", "--keep_last", 2, "--save_by_iter", "--save_latest_freq", 6]
    assert train("--continue_train", "--n_epochs", 5, *words) == 0
    saved = {path.name for path in folder.iterdir() if path.suffix in (".pth", ".pt", ".txt")}
    prefixes = {name.partition("_net_")[0] for name in saved - set(others) if "_net_" in name}
    assert prefixes == {"latest", "4", "5", "iter_24", "iter_30"}
    assert {name for name in saved if name.endswith("state.pt")} == {
        f"{prefix}_state.pt" for prefix in prefixes
    }
    assert saved >= set(others)


def test_a_finished_run_says_so_and_changes_nothing(
    train: Callable[..., int], folder: Path, capfd: pytest.CaptureFixture
) -> None:
    assert train() == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for words in ([], ["--epoch", 4]):
        capfd.readouterr()
        assert train("--continue_train", *words) == 0
        told = capfd.readouterr()
        sentences = [
            line for line in told.out.splitlines() if names_all(line, [folder, "--n_epochs", "finished"])
        ]
        assert len(sentences) == 1 and "done:" not in told.out
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert train("--continue_train", "--n_epochs", 3) == 0
