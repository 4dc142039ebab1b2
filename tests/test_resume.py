"""A run that was killed and resumed ends as the uninterrupted one: weights, optimizers, pools, logs, pictures."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY, names_all, run_main
from test_contract import assert_same_state

from util.run.lifecycle import Run

KILLS = 2
FLAGS = """
--model cycle_gan_attn --batch_size 2 --pool_size 4 --ema_decay 0.9 --n_epochs 2 --n_epochs_decay 2
--print_freq 2 --display_freq 4 --update_html_freq 4 --save_latest_freq 4 --save_epoch_freq 2
--display console,loss_log,jsonl,html --num_threads 2
""".split()
IN_THIS_PROCESS = ["--num_threads", "0"]  # the batches are the same for any number of workers


def begin(data: Path, runs: Path) -> list[str]:
    return ["train.py", "--dataroot", str(data), *place(runs), *TINY, *FLAGS]


def resume(runs: Path) -> list[str]:
    """--continue_train needs no other flag: the rest comes from the run."""
    return ["train.py", "--continue_train", *place(runs)]


def place(runs: Path) -> list[str]:
    return ["--checkpoints_dir", str(runs), "--name", "r"]


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def losses(runs: Path) -> tuple[list[str], list[dict]]:
    """The lines of loss_log.txt without headers and times, and those of losses.jsonl without times."""
    lines = (runs / "r" / "loss_log.txt").read_text().splitlines()
    log = [re.sub(r"time: [^,]*, data: [^)]*", "", line) for line in lines if not line.startswith("=")]
    records = [json.loads(line) for line in (runs / "r" / "losses.jsonl").read_text().splitlines()]
    return log, [{k: v for k, v in record.items() if k not in ("time", "data", "at")} for record in records]


def pictures(runs: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((runs / "r" / "web" / "images").glob("*.png"))}


def assert_same_run(a: Path, b: Path) -> None:
    states = [torch.load(runs / "r" / "latest_state.pt", weights_only=True) for runs in (a, b)]
    assert_same_state(states[0], states[1])
    assert states[0]["parts"]["clock"]["images"] == 24
    names = sorted(path.name for path in (a / "r").glob("*.pth"))
    assert names == sorted(path.name for path in (b / "r").glob("*.pth")) and len(names) == 18
    for name in names:
        assert_same_state(*(torch.load(runs / "r" / name, weights_only=True) for runs in (a, b)))
    assert losses(a) == losses(b)
    assert len(losses(a)[0]) == 12
    assert pictures(a) == pictures(b) and pictures(a)


@pytest.fixture(scope="module")
def uninterrupted(unpaired: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("uninterrupted")
    assert run_main(*begin(unpaired, runs), *IN_THIS_PROCESS) == 0
    return runs


def test_killed_at_random_moments(unpaired: Path, uninterrupted: Path, tmp_path: Path) -> None:
    rng = random.Random(KILLS)
    kills, arguments = 0, begin(unpaired, tmp_path)
    for _ in range(KILLS):
        process = start(arguments)
        wait_for_a_save(process, tmp_path)
        time.sleep(rng.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
        arguments = resume(tmp_path)
    assert kills > 0, "the run was faster than the test"
    assert run_main(*resume(tmp_path), *IN_THIS_PROCESS) == 0
    assert_same_run(uninterrupted, tmp_path)


def wait_for_a_save(process: subprocess.Popen, runs: Path) -> None:
    """Return when this process has written a state, or has ended."""
    state = runs / "r" / "latest_state.pt"
    before = state.stat().st_mtime_ns if state.exists() else 0
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.02)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_run_and_prints_how_to_resume(
    unpaired: Path, uninterrupted: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    process = start([*begin(unpaired, tmp_path), "--save_latest_freq", "100000"])
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("(epoch: 2"):
            process.send_signal(sent)
            break
    output = process.stdout.read()
    assert process.wait(timeout=60) == code, output
    assert names_all(output, ("python train.py --continue_train --name r",)) and "Traceback" not in output
    assert run_main(*resume(tmp_path), *IN_THIS_PROCESS) == 0
    assert_same_run(uninterrupted, tmp_path)


def test_killed_between_the_last_step_and_its_save(
    unpaired: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resumed process makes no step, so it has no current images to show."""
    runs, save = tmp_path / "runs", Run.save

    def killed(run: Run, *prefixes: int | str) -> None:
        if 4 in prefixes:
            raise KeyboardInterrupt
        save(run, *prefixes)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", killed)
        # saves after each step
        run_main(*begin(unpaired, runs), *IN_THIS_PROCESS, "--save_latest_freq", 2)
    assert run_main(*resume(runs)) == 0
    for name in ("latest_state.pt", "latest_net_G_A.pth"):
        assert_same_state(
            *(torch.load(folder / "r" / name, weights_only=True) for folder in (runs, uninterrupted))
        )
