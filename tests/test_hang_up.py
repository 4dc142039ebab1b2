"""A connection that is lost: the run stops and saves, as for SIGTERM, although its terminal takes no more output."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY

from util.run.interrupt import Interruption


@pytest.fixture
def missed() -> Iterator[list[str]]:
    """The hang-ups that reach the handler outside of the context."""
    found: list[str] = []
    previous = signal.signal(signal.SIGHUP, lambda *_: found.append("SIGHUP"))
    yield found
    signal.signal(signal.SIGHUP, previous)


def test_a_hang_up_stops_and_saves_like_sigterm(missed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("util.log.leave_terminal", lambda: None)  # the terminal of this test remains
    with Interruption() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not missed and stop.requested() and stop.exit_code == 128 + signal.SIGHUP


def test_under_nohup_a_hang_up_is_ignored(missed: list[str]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interruption() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.requested() and not missed


def attach_to_terminal() -> None:
    """Make standard input the terminal of this process, which a hang-up ends also if pytest runs under nohup."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_run_whose_terminal_is_gone_saves(unpaired: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    words = [*TINY, "--model", "dcgan", "--netG", "dcgan", "--dataset_mode", "folder", "--n_epochs", "100000"]
    words += ["--batch_size", "2"]
    place = ["--dataroot", str(unpaired / "trainA"), "--checkpoints_dir", str(tmp_path), "--name", "r"]
    process = subprocess.Popen(
        [sys.executable, "train.py", *words, *place, "--print_freq", "1", "--display", "console,loss_log"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=attach_to_terminal,
    )
    os.close(slave)
    try:
        printed, end = b"", time.monotonic() + 90
        while b"epoch: 1" not in printed:
            assert time.monotonic() < end, printed
            try:
                printed += os.read(master, 4096)
            except OSError:
                raise AssertionError(printed.decode()) from None
        os.close(master)  # the kernel sends SIGHUP
        assert process.wait(60) == 128 + signal.SIGHUP
    finally:
        process.kill()
        process.wait()
    state = torch.load(tmp_path / "r" / "latest_state.pt", weights_only=True)
    assert state["parts"]["clock"]["images"] > 0
