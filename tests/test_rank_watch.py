"""A process of a run that ends early ends the others, with one sentence that names it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch.distributed as dist
from conftest import ROOT, TINY, names_all

from util.errors import UserError
from util.ranks import rank_watch
from util.ranks.rank_watch import RankWatch
from util.run import checkpoint

LIMIT_S = 120.0  # of what takes seconds on an idle machine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def by_hand(world: int, *words: object) -> list[tuple[int, str]]:
    """Exit code and errors of each process of rank_worker.py, started without torchrun."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world)}
    processes = [
        subprocess.Popen(
            [sys.executable, "tests/rank_worker.py", *map(str, words)],
            cwd=ROOT,
            env=os.environ | place | {"RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    ends = []
    for process in processes:
        error = process.communicate(timeout=LIMIT_S)[1]
        ends.append((process.returncode, error))
    return ends


@pytest.mark.parametrize(
    ("how", "victim"), [("killed", 1), ("killed", 0), ("user error", 1), ("while others compute", 1)]
)
def test_the_others_end_and_name_the_rank(how: str, victim: int) -> None:
    ends = by_hand(2, how, victim)
    code, error = ends[1 - victim]
    assert code == 1 and names_all(error, [f"rank {victim}", f"rank {1 - victim}"]), error
    assert "Traceback" not in error
    code, error = ends[victim]
    assert (code == 1 and "NaN" in error) if how == "user error" else code == -signal.SIGKILL, (code, error)


def test_processes_that_finish_end_with_0() -> None:
    assert [code for code, _ in by_hand(3, "done", 0)] == [0, 0, 0]


def torchrun(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.Popen(
        [*command, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_under_torchrun_the_dead_rank_is_named() -> None:
    process = torchrun("tests/rank_worker.py", "killed", 1)
    printed = process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode == 1 and "rank_worker.py" in printed
    ours = [line for line in printed.splitlines() if "error: " in line and "rank 1" in line]
    assert len(ours) == 1, printed  # of rank 0
    assert 'File "' not in printed.split("error: ")[0], printed


def test_ctrl_c_on_torchrun_saves_once(unpaired: Path, tmp_path: Path) -> None:
    place = ["--dataroot", unpaired, "--checkpoints_dir", tmp_path, "--name", "r"]
    words = "--n_epochs 100000 --print_freq 2 --display console".split()
    process = torchrun("train.py", *place, *TINY, *words)
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if "iters: 4" in line:
            process.send_signal(signal.SIGINT)
            break
    printed += process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode and printed.count("stopping and saving") == 1, printed
    assert 'File "' + str(ROOT / "train.py") not in printed, printed
    state = checkpoint.load(tmp_path / "r" / "latest_state.pt")
    assert len(state["ranks"]) == 2 and state["parts"]["clock"]["images"] >= 4
    assert not list((tmp_path / "r").glob(".*"))


# ---------------------------------------------------------------------- the watch itself


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The exit codes with which watches of this process would end it; their threads end with the test."""
    found: list[int] = []
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setattr(rank_watch, "GRACE_S", 0.01)
    monkeypatch.setattr(rank_watch.os, "_exit", found.append)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    sockets: list[socket.socket] = []
    listen = RankWatch._listen
    monkeypatch.setattr(
        RankWatch, "_listen", lambda watch: sockets.extend(watch.peers.values()) or listen(watch)
    )
    yield found
    for peer in sockets:
        with suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)
    for thread in threading.enumerate():
        if thread.name == "rank watch":
            thread.join(LIMIT_S)


def watches(world: int) -> list[RankWatch]:
    store, found = dist.HashStore(), {}

    def join(rank: int) -> None:
        found[rank] = RankWatch(store, rank, world, LIMIT_S)

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank] for rank in range(world)]


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_every_rank_learns_which_one_has_ended(
    victim: int, ends: list[int], capfd: pytest.CaptureFixture
) -> None:
    all_ranks = watches(3)
    all_ranks[victim]._end = lambda lost: None  # type: ignore[method-assign]  # it has ended, and tells nothing
    for peer in all_ranks[victim].peers.values():
        peer.shutdown(socket.SHUT_RDWR)  # as the system does when a process ends
    others = [watch.rank for watch in all_ranks if watch.rank != victim]
    said: list[str] = []

    def sentences() -> list[str]:
        said.extend(capfd.readouterr().err.splitlines())
        return [line for line in said if re.match(f"error: rank {victim} ", line)]

    wait_until(lambda: all(any(f"so rank {rank} " in line for line in sentences()) for rank in others))
    assert set(ends) <= {1}


def test_ranks_that_part_in_any_order_are_not_missed(ends: list[int]) -> None:
    all_ranks = watches(3)
    for watch in (all_ranks[1], all_ranks[0], all_ranks[2]):
        watch.stop()
        for peer in watch.peers.values():
            peer.shutdown(socket.SHUT_WR)  # as at the end of a process
    assert not any(watch.ended.wait(0.05) for watch in all_ranks) and not ends


def test_a_rank_that_was_given_twice_is_refused(ends: list[int]) -> None:
    store = dist.HashStore()
    outcome: list[object] = []

    def gather() -> None:
        outcome.append(RankWatch(store, 0, 3, LIMIT_S))

    thread = threading.Thread(target=gather)
    thread.start()
    word = store.get("watch")
    first = socket.create_connection(("127.0.0.1", int.from_bytes(word[:4], "big")))
    first.sendall(word[4:] + (1).to_bytes(4, "big"))
    with pytest.raises(UserError, match="RANK=1"):
        RankWatch(store, 1, 3, LIMIT_S)
    stranger = socket.create_connection(("127.0.0.1", int.from_bytes(word[:4], "big")))
    stranger.sendall(bytes(len(word) - 4) + (2).to_bytes(4, "big"))  # without the token
    last = RankWatch(store, 2, 3, LIMIT_S)
    thread.join()
    (watch,) = outcome
    assert isinstance(watch, RankWatch) and sorted(watch.peers) == [1, 2]
    watch.stop()
    last.stop()


def test_processes_that_never_come_are_not_awaited_for_ever(ends: list[int]) -> None:
    with pytest.raises(TimeoutError):
        RankWatch(dist.HashStore(), 0, 2, timeout_s=0.1)
