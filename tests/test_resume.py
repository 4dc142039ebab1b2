"""A killed run, gone on with, ends as the uninterrupted one: weights, optimizers, pools, logs, pictures."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_contract import assert_same_state

KILLS = 2
FLAGS = """
--model cycle_gan_attn --load_size 36 --crop_size 32 --netG resnet_6blocks --ngf 8 --ndf 8
--batch_size 2 --num_threads 2 --pool_size 4 --ema_decay 0.9 --n_epochs 3 --n_epochs_decay 3
--print_freq 2 --display_freq 4 --update_html_freq 4 --save_latest_freq 4 --save_epoch_freq 2
--display console,loss_log,jsonl,html
""".split()


def command(data: Path, runs: Path, *words: str) -> list[str]:
    return [
        sys.executable,
        "train.py",
        "--dataroot",
        str(data),
        "--checkpoints_dir",
        str(runs),
        "--name",
        "r",
        *words,
    ]


def start(arguments: list[str]) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(arguments: list[str]) -> str:
    process = start(arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def losses(runs: Path) -> tuple[list[str], list[dict]]:
    """The lines of loss_log.txt without headers and times, and those of losses.jsonl without times."""
    lines = (runs / "r" / "loss_log.txt").read_text().splitlines()
    classic = [re.sub(r"time: [^,]*, data: [^)]*", "", line) for line in lines if not line.startswith("=")]
    records = [json.loads(line) for line in (runs / "r" / "losses.jsonl").read_text().splitlines()]
    return classic, [{k: v for k, v in record.items() if k not in ("time", "data")} for record in records]


def pictures(runs: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((runs / "r" / "web" / "images").glob("*.png"))}


def assert_same_run(a: Path, b: Path) -> None:
    states = [torch.load(runs / "r" / "latest_state.pt", weights_only=True) for runs in (a, b)]
    assert_same_state(states[0], states[1])
    assert states[0]["parts"]["clock"]["images"] == 36
    names = sorted(path.name for path in (a / "r").glob("*.pth"))
    assert names == sorted(path.name for path in (b / "r").glob("*.pth")) and len(names) == 24
    for name in names:
        assert_same_state(*(torch.load(runs / "r" / name, weights_only=True) for runs in (a, b)))
    assert losses(a) == losses(b)
    assert len(losses(a)[0]) == 18
    assert pictures(a) == pictures(b) and pictures(a)


@pytest.fixture(scope="module")
def straight(unpaired: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("straight")
    finish(command(unpaired, runs, *FLAGS))
    return runs


def test_killed_at_random_moments(unpaired: Path, straight: Path, tmp_path: Path) -> None:
    rng = random.Random(KILLS)
    arguments = command(unpaired, tmp_path, *FLAGS)
    landed = 0
    while landed < KILLS:
        process = start(arguments)
        wait_for_a_state(process, tmp_path)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        landed += process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
        # --continue_train alone: everything else comes from the run
        arguments = [
            sys.executable,
            "train.py",
            "--continue_train",
            "--name",
            "r",
            "--checkpoints_dir",
            str(tmp_path),
        ]
    finish(arguments)
    assert_same_run(straight, tmp_path)


def wait_for_a_state(process: subprocess.Popen, runs: Path) -> None:
    """Until something was saved by this start, or it has ended by itself."""
    state = runs / "r" / "latest_state.pt"
    before = state.stat().st_mtime_ns if state.exists() else 0
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.02)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_saves_and_says_how_to_go_on(
    unpaired: Path, straight: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    process = start(command(unpaired, tmp_path, *FLAGS, "--save_latest_freq", "100000"))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("(epoch: 2"):
            process.send_signal(sent)
            break
    output = process.stdout.read()
    assert process.wait(timeout=60) == code, output
    assert "resume with: python train.py --continue_train --name r" in output and "Traceback" not in output
    finish(
        [sys.executable, "train.py", "--continue_train", "--name", "r", "--checkpoints_dir", str(tmp_path)]
    )
    assert_same_run(straight, tmp_path)


def test_an_earlier_run_of_the_name_is_kept(
    run_script: Callable[..., int], unpaired: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ("--dataroot", unpaired, "--checkpoints_dir", tmp_path, "--name", "r", *FLAGS, "--num_threads", 0)
    once = ("--n_epochs", 1, "--n_epochs_decay", 0, "--display", "console")
    assert run_script("train.py", *words, *once) == 0
    before = (tmp_path / "r" / "latest_state.pt").read_bytes()
    assert run_script("train.py", *words, *once, "--seed", 5) == 0
    assert (tmp_path / "r_1" / "latest_state.pt").read_bytes() == before
    assert "was moved to" in capsys.readouterr().out
