"""When losses are reported and with what; damaged logs; messages beside a progress bar; --gpu_ids without GPUs."""

import io
import json
import os
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import torch
from conftest import names_all

from util import cpu_count, distributed, log
from util.clock import Clock
from util.run.lifecycle import Run
from util.run.lr_schedule import Schedule

WORDS = """
--model dcgan --dataset_mode folder --load_size 36 --crop_size 32 --ngf 8 --ndf 8 --num_threads 0 --batch_size 2
--n_epochs 2 --n_epochs_decay 0
""".split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "r"


@pytest.fixture
def train(run_script: Callable[..., int], unpaired: Path, tmp_path: Path) -> Callable[..., int]:
    """Two epochs of six images; without --print_freq, dcgan prints every 640 images."""

    def run(*words: object) -> int:
        place = ["--checkpoints_dir", tmp_path / "runs", "--dataroot", unpaired / "trainA", "--name", "r"]
        return run_script("train.py", *place, *([] if "--continue_train" in words else WORDS), *words)

    return run


def loss_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("(epoch:")]


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_each_epoch_reports_its_losses(
    train: Callable[..., int], folder: Path, capfd: pytest.CaptureFixture
) -> None:
    """On the console, in the logs and on the page, with the time and the learning rate."""
    assert train("--display", "console,loss_log,jsonl,html") == 0
    printed = loss_lines(capfd.readouterr().out)
    written = loss_lines((folder / "loss_log.txt").read_text())
    assert [line.split(",")[0] for line in written] == ["(epoch: 1", "(epoch: 2"]
    assert [line.partition("| ")[0] for line in printed] == written
    assert all("learning rate 0.0002" in line and datetime.now().strftime("%Y-") in line for line in printed)
    assert [(record["images"], record["lr"]) for record in records(folder)] == [
        (images, {"D": 2e-4, "G": 2e-4}) for images in (6, 12)
    ]
    page = (folder / "web" / "index.html").read_text()
    assert ">Losses</h2>" in page and "<svg" in page


@pytest.mark.parametrize(
    ("print_freq", "reported"), [(2, [2, 4, 6, 8, 10, 12]), (4, [4, 8, 12]), (5, [6, 10, 12]), (100, [6, 12])]
)
def test_reports_are_due_by_images_once_an_epoch_and_at_the_end(print_freq: int, reported: list[int]) -> None:
    clock, found = Clock(), []
    run = Run(None, clock, Schedule("constant", 2, 0), None, images_per_epoch=6)  # type: ignore[arg-type]
    for _ in clock.epochs(2):
        while clock.epoch_images < 6:
            clock.advance(2)
            found += [clock.images] * run.losses_due(print_freq)
        clock.end_epoch()
    assert found == reported


def test_the_time_left_counts_all_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step, which compiles and fills caches, does not count."""
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    clock = Clock()
    assert clock.left_s(3, 10) == 0
    for seconds in (50, 4, 8):
        now[0] += seconds
        clock.advance(2)
    assert clock.left_s(3, 10) == pytest.approx(24 * 12 / 4)


@pytest.mark.parametrize("name", ["losses.jsonl", "loss_log.txt"])
@pytest.mark.parametrize("ending", [b"", b"\n"], ids=["open", "closed"])
def test_zeros_at_the_end_of_a_log_take_no_memory(
    train: Callable[..., int], folder: Path, name: str, ending: bytes
) -> None:
    """After a power failure a file may end in zeros."""
    assert train("--display", "jsonl,loss_log,html", "--print_freq", 2) == 0
    with (folder / name).open("r+b") as file:
        file.truncate(30_000_000)
        file.seek(0, os.SEEK_END)
        file.write(ending)
    tracemalloc.start()
    try:
        assert train("--continue_train", "--n_epochs", 3) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [record["images"] for record in records(folder)] == list(range(2, 19, 2)) or name != "losses.jsonl"
    assert len(loss_lines((folder / "loss_log.txt").read_text())) == 9
    assert peak < 10_000_000, f"{peak:,} bytes"


def test_a_new_run_holds_no_lines_of_an_attempt_that_saved_nothing(
    train: Callable[..., int], folder: Path
) -> None:
    folder.mkdir(parents=True)
    line = "(epoch: 1, iters: 2, time: 0.100, data: 0.100) G: 77.000"
    (folder / "loss_log.txt").write_text(f"================ Training Loss (x) ================\n{line}\n")
    assert train("--display", "loss_log,jsonl", "--print_freq", 2) == 0
    assert line not in (folder / "loss_log.txt").read_text()
    assert line in (folder / "loss_log_1.txt").read_text()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_message_has_a_line_of_its_own_beside_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with tqdm(total=10, file=terminal, desc="epoch 1/5") as bar:
        bar.update(3)
        log.info("a message")
    shown = re.split("[\r\n]", terminal.getvalue())
    assert "a message" in shown


def test_messages_of_two_threads_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Stream())
    thread = threading.Thread(target=log.info, args=("one",))
    thread.start()
    thread.join()
    assert written == ["one\n"]


@pytest.mark.parametrize(("ids", "warned"), [("0", 0), ("-1", 0), ("7", 1), ("0,1", 1)])
def test_gpus_that_are_not_used_are_mentioned_once(
    train: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    ids: str,
    warned: int,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train("--display", "loss_log", "--gpu_ids", ids) == 0
    warnings = [line for line in capfd.readouterr().err.splitlines() if "--gpu_ids" in line]
    assert len(warnings) == warned and all(names_all(line, [f"--gpu_ids {ids}", "cpu"]) for line in warnings)


def test_one_process_on_several_gpus_is_told_how_to_use_all(capsys: pytest.CaptureFixture) -> None:
    distributed.describe(1, torch.device("cuda", 0), "0,1")
    assert names_all(capsys.readouterr().err, ["--gpu_ids 0,1", "torchrun", "--nproc_per_node=2"])
    distributed.describe(1, torch.device("cuda", 1), "1")
    assert capsys.readouterr().err == ""


def test_threads_sleep_while_they_wait_unless_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    for chosen in (*names, None):
        for name in names:
            monkeypatch.delenv(name, raising=False)
        if chosen:
            monkeypatch.setenv(chosen, "5")
        cpu_count.limit_spinning()
        found = {name: os.environ[name] for name in names if name in os.environ}
        assert found == ({chosen: "5"} if chosen else {"GOMP_SPINCOUNT": "1000"})
