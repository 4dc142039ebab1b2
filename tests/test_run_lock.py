"""The lock of a run's folder: who is refused, which locks are stale, and two processes that start at the same time."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT, names_all, refused

from util.errors import RunFault
from util.run import run_lock
from util.run.run_lock import RunLock

WORDS = """
--model dcgan --dataset_mode folder --load_size 36 --crop_size 32 --ngf 8 --ndf 8 --num_threads 0 --batch_size 2
--n_epochs 2 --n_epochs_decay 2 --display loss_log
""".split()


@pytest.fixture
def train(run_script: Callable[..., int], unpaired: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*words: object) -> int:
        place = ["--checkpoints_dir", tmp_path / "runs", "--dataroot", unpaired / "trainA"]
        return run_script("train.py", *place, *([] if "--continue_train" in words else WORDS), *words)

    return run


def start(runs: Path, data: Path, *words: str) -> subprocess.Popen:
    """A process that trains under --name long without end."""
    place = ["--checkpoints_dir", str(runs), "--dataroot", str(data / "trainA"), "--name", "long"]
    return subprocess.Popen(
        [sys.executable, "train.py", *WORDS, *place, "--n_epochs", "100000", *words],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def long_run(unpaired: Path, tmp_path: Path) -> Iterator[subprocess.Popen]:
    process = start(tmp_path / "runs", unpaired, "--save_latest_freq", "10")
    try:
        wait_for(tmp_path / "runs" / "long" / "latest_state.pt", process)
        yield process
    finally:
        process.kill()
        process.wait()


def hidden(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.glob(".*"))


def test_a_second_process_with_the_same_name_is_refused(
    train: Callable[..., int], long_run: subprocess.Popen, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    runs = tmp_path / "runs"
    for words in ([], ["--continue_train"]):
        assert train("--name", "long", *words) == 2
        sentence = capfd.readouterr().err.strip().splitlines()[-1]
        assert names_all(sentence, ["--name long", long_run.pid, os.uname().nodename])
        assert [path.name for path in runs.glob("[!.]*")] == ["long"]
    assert train("--name", "other", "--n_epochs", 1, "--n_epochs_decay", 0) == 0


def test_a_killed_process_leaves_a_lock_that_holds_nobody_back(
    train: Callable[..., int], long_run: subprocess.Popen, tmp_path: Path
) -> None:
    """The process is not yet reaped by its parent, so its id still exists."""
    long_run.kill()
    while "Z" not in Path(f"/proc/{long_run.pid}/stat").read_text().rpartition(")")[2]:
        time.sleep(0.01)
    assert hidden(tmp_path / "runs") == [".long.lock"]
    assert train("--name", "long", "--n_epochs", 1, "--n_epochs_decay", 0) == 0
    assert hidden(tmp_path / "runs") == []


def test_a_signal_removes_the_lock(long_run: subprocess.Popen, tmp_path: Path) -> None:
    long_run.send_signal(signal.SIGTERM)
    assert long_run.wait(60) == 128 + signal.SIGTERM
    assert hidden(tmp_path / "runs") == []


def test_an_early_signal_removes_the_lock(unpaired: Path, tmp_path: Path) -> None:
    """Before the first step nothing is to be saved."""
    process = start(tmp_path / "runs", unpaired)
    try:
        wait_for(tmp_path / "runs" / ".long.lock", process)
        process.send_signal(signal.SIGTERM)
        _, printed = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM and "Traceback" not in printed
    assert hidden(tmp_path / "runs") == []


def test_an_error_removes_the_lock(train: Callable[..., int], tmp_path: Path) -> None:
    assert train("--name", "r", "--dataroot", tmp_path) == 2
    assert hidden(tmp_path / "runs") == []


def lock_of(folder: Path, **changed: object) -> Path:
    """Leave the lock of another process beside a folder."""
    lock = RunLock(folder.parent, folder.name)
    lock.path.write_text(json.dumps(lock._own | changed))
    return lock.path


@pytest.mark.parametrize(
    "changed",
    [
        {"pid": 2**22 + 1},
        {"pid": 10**30},
        {"started": "1"},
        {"machine": "another", "age": 3600},
        {"pid": "1"},
        {"more": 1},
    ],
    ids=str,
)
def test_stale_locks_are_replaced(tmp_path: Path, changed: dict) -> None:
    """The process is gone, another one has its id, it has been silent for an hour, or the lock is damaged."""
    age = changed.pop("age", 0)
    path = lock_of(tmp_path / "r", **changed)
    os.utime(path, (time.time() - age,) * 2)
    with RunLock(tmp_path, "r") as lock:
        assert json.loads(path.read_text()) == lock._own
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"[" * 5000, b"[]", b'"x"', b"\xff"])
def test_damaged_locks_are_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".r.lock").write_bytes(content)
    with RunLock(tmp_path, "r"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changed", [{}, {"machine": "another", "host": "far"}])
def test_living_locks_are_respected(tmp_path: Path, changed: dict) -> None:
    path = lock_of(tmp_path / "r", **changed)
    before = path.read_bytes()
    with (
        refused("--name r", os.getpid(), changed.get("host", os.uname().nodename), path),
        RunLock(tmp_path, "r"),
    ):
        pass
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_lock_that_was_taken_over_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "REFRESH_S", 0)
    with RunLock(tmp_path, "r") as lock:
        os.utime(lock.path, (1, 1))
        lock.refresh()
        assert time.time() - lock.path.stat().st_mtime < 3600
        lock_of(tmp_path / "r", pid=7, host="far")
        with refused(7, "far", tmp_path / "r", error=RunFault):
            lock.refresh()
    assert lock.path.exists(), "the lock of another process was removed"


def test_an_abandoned_claim_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "CLAIM_S", 0.1)
    (tmp_path / ".r.claim").touch()
    with RunLock(tmp_path, "r"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_claim_has_one_successor_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that waited as long must not remove the claim of the first of them."""
    monkeypatch.setattr(run_lock, "CLAIM_S", 0.5)
    (tmp_path / "r.claim").touch()
    inside: list[int] = []

    def hold(number: int) -> int:
        with run_lock._claimed(tmp_path / "r"):
            inside.append(number)
            time.sleep(0.05)
            others = len(inside) - 1
            inside.remove(number)
        return others

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(hold, range(4))) == [0] * 4


def compete(folder: Path, ready: object, results: object) -> None:
    """Take the lock when all are ready, and hold it until all have tried."""
    ready.wait()
    try:
        with RunLock(folder.parent, folder.name):
            results.put("taken")
            ready.wait()
    except Exception as error:
        results.put(type(error).__name__)
        ready.wait()


def test_of_processes_that_start_together_one_gets_a_stale_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(5):
        folder = tmp_path / str(number)
        lock_of(folder, started="1")
        ready, results = context.Barrier(4), context.Queue()
        processes = [context.Process(target=compete, args=(folder, ready, results)) for _ in range(4)]
        for process in processes:
            process.start()
        found = sorted(results.get(timeout=60) for _ in processes)
        for process in processes:
            process.join(60)
        assert found == ["UserError"] * 3 + ["taken"]
    assert list(tmp_path.iterdir()) == []
