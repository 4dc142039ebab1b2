"""What is written off the training thread is what would have been written there, in order; faults are told."""

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from display_run import fake_run, options
from test_contract import assert_same_state
from torch import nn

from util import files
from util.background import Background
from util.clock import Clock
from util.errors import RunFault
from util.pages.train_page import TrainPage
from util.run import checkpoint
from util.run.checkpoint import Checkpoint
from util.run.lifecycle import Run
from util.run.lr_schedule import Schedule
from util.run.snapshot import Snapshot
from util.run.weights import save_nets
from util.visualizer import create_visualizer

FULL = RunFault("cannot write x: the disk is full")


def fail() -> None:
    raise FULL


def test_jobs_of_a_kind_are_done_by_a_thread_in_order_and_at_once_outside() -> None:
    background, done = Background(), []

    def job(name: str) -> Callable[[], None]:
        return lambda: done.append((name, threading.current_thread() is threading.main_thread()))

    background.do("a", job("before"))
    assert done == [("before", True)]
    with background:
        for name in "12345":
            background.do("a", job(name))
    background.do("a", job("after"))
    assert done == [("before", True), *((name, False) for name in "12345"), ("after", True)]


def test_a_third_job_of_a_kind_waits_for_the_first() -> None:
    gate, done = threading.Event(), []
    with Background() as background:
        background.do("save", lambda: (gate.wait(10), done.append(1)))
        background.do("save", lambda: done.append(2))
        assert done == []
        threading.Timer(0.05, gate.set).start()
        background.do("save", lambda: done.append(3))
        assert done[0] == 1
        background.wait("save")
        assert done == [1, 2, 3]


def test_kinds_do_not_wait_for_each_other() -> None:
    gate, done = threading.Event(), []
    with Background() as background:
        background.do("save", lambda: done.append(gate.wait(10)))
        for number in range(3):
            background.do("page", lambda number=number: done.append(number))
        background.wait("page")
        assert done == [0, 1, 2]
        gate.set()
    assert done == [0, 1, 2, True]


def test_a_fault_is_told_at_the_next_job_of_its_kind() -> None:
    done: list[int] = []
    with Background() as background:
        background.do("save", fail)
        background.do("page", lambda: done.append(1))
        background.wait("page")
        with pytest.raises(RunFault, match="the disk is full"):
            background.do("save", lambda: done.append(2))
    assert done == [1]


def test_a_fault_is_told_at_the_end_at_the_latest(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(RunFault, match="the disk is full"), Background() as background:
        background.do("save", fail)
    with pytest.raises(ValueError, match="first"), Background() as background:
        background.do("save", fail)
        raise ValueError("first")
    assert "warning: cannot write x" in capsys.readouterr().err


def test_a_fault_that_was_told_is_not_told_again() -> None:
    gate = threading.Event()
    with Background() as background:
        background.do("page", lambda: (gate.wait(10), fail()))
        background.do("page", fail)
        gate.set()
        with pytest.raises(RunFault, match="the disk is full"):
            background.wait("page")


def test_everything_is_done_when_a_run_is_left_by_an_error() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), Background() as background:
        background.do("save", lambda: done.append(1))
        background.do("save", lambda: done.append(2))
        raise KeyboardInterrupt
    assert done == [1, 2]


# ---------------------------------------------------------------------- copies of a state


def test_a_snapshot_is_the_state_of_its_moment() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    state = {
        "nets": net.state_dict(),
        "list": [1, (2, torch.ones(2))],
        "text": "x",
        "random": torch.get_rng_state(),
    }
    copy = Snapshot().of(state)
    assert_same_state(copy, state)
    assert copy["nets"]._metadata == state["nets"]._metadata
    assert all(copy["nets"][key].stride() == value.stride() for key, value in state["nets"].items())
    before = state["nets"]["0.weight"].clone()
    with torch.no_grad():
        net[0].weight.zero_()
        state["list"][1][1].zero_()
    state["list"].append(3)
    assert torch.equal(copy["nets"]["0.weight"], before) and torch.equal(copy["list"][1][1], torch.ones(2))
    assert len(copy["list"]) == 2


class Pair(NamedTuple):
    weight: torch.Tensor
    count: int


def test_what_plugins_keep_in_other_containers_is_copied_with_its_type() -> None:
    computed = torch.ones(2, requires_grad=True) * 2
    state = {"pair": Pair(computed, 3), "shape": torch.Size([2, 3]), "queue": deque([computed], maxlen=4)}
    copy = Snapshot().of(state)
    assert [type(copy[key]) for key in state] == [Pair, torch.Size, deque]
    assert (copy["pair"].count, copy["shape"], copy["queue"].maxlen) == (3, (2, 3), 4)
    with torch.no_grad():
        computed.zero_()
    assert copy["pair"].weight.tolist() == copy["queue"][0].tolist() == [2, 2]


def test_what_states_share_is_copied_once() -> None:
    net, snapshot = nn.Linear(3, 4), Snapshot()
    first, second = snapshot.of(net.state_dict()), snapshot.of({"again": [net.state_dict()]})
    assert second["again"][0]["weight"].data_ptr() == first["weight"].data_ptr() != net.weight.data_ptr()
    # a tensor that is gone may leave its place to another
    copies = [snapshot.of(torch.full((1000,), float(value))) for value in range(5)]
    assert [copy[0].item() for copy in copies] == [0, 1, 2, 3, 4]


def test_deferred_files_equal_those_written_at_once(tmp_path: Path) -> None:
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    clock = Clock(epoch=2, images=7)

    def save(folder: Path) -> None:
        save_nets({"G": net}, folder, "latest")
        Checkpoint(folder, {"net": net, "clock": clock}, {}).save()

    save(tmp_path / "now")
    with checkpoint.Deferred() as later:
        save(tmp_path / "later")
    assert not (tmp_path / "later").exists()
    later.write()
    for name in ("latest_net_G.pth", "latest_state.pt"):
        assert (tmp_path / "now" / name).read_bytes() == (tmp_path / "later" / name).read_bytes()
    assert torch.load(tmp_path / "later" / "latest_net_G.pth")["weight"].is_contiguous()


# ---------------------------------------------------------------------- runs


class TinyModel:
    def __init__(self, folder: Path) -> None:
        self.nets = nn.ModuleDict({"G": nn.Linear(2, 2)})
        self.save_dir = folder

    def check_finite(self) -> None: ...

    def save_networks(self, epoch: int | str) -> None:
        save_nets(dict(self.nets.items()), self.save_dir, epoch)

    def fill(self, value: float) -> None:
        nn.init.constant_(self.nets["G"].weight, value)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    model = TinyModel(tmp_path)
    return Run(model, Clock(), Schedule("constant", 1, 0), Checkpoint(tmp_path, {"nets": model.nets}, {}))


def test_a_run_writes_the_weights_of_the_save_then_the_state(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    stream = files.stream_whole
    monkeypatch.setattr(
        files, "stream_whole", lambda path, write: (order.append(path.name), stream(path, write))
    )
    gate = threading.Event()
    with run.background:
        run.background.do("save", lambda: gate.wait(10))
        wait = run.background.wait
        monkeypatch.setattr(run.background, "wait", lambda kind: None)  # for the gate, that is
        run.model.fill(1)
        run.save("latest", 5)
        run.model.fill(2)
        assert order == []
        gate.set()
        monkeypatch.setattr(run.background, "wait", wait)
        run.save("latest")
        run.model.fill(3)
    assert order == [
        "latest_net_G.pth",
        "5_net_G.pth",
        "latest_state.pt",
        "latest_net_G.pth",
        "latest_state.pt",
    ]
    saved = [torch.load(tmp_path / f"{epoch}_net_G.pth")["weight"][0, 0].item() for epoch in (5, "latest")]
    assert saved == [1, 2]
    state = torch.load(tmp_path / "latest_state.pt", weights_only=True)
    assert state["parts"]["nets"]["G.weight"][0, 0] == 2


def test_memory_holds_one_copy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a save are written before the next one copies anything."""
    events: list[str] = []
    add, write = checkpoint.Deferred.add, checkpoint.Deferred.write
    monkeypatch.setattr(
        checkpoint.Deferred, "add", lambda self, *args: (events.append("copy"), add(self, *args))[1]
    )
    monkeypatch.setattr(checkpoint.Deferred, "write", lambda self: (write(self), events.append("written")))
    with run.background:
        for _ in range(3):
            run.save("latest")
    assert events == ["copy", "copy", "written"] * 3


@pytest.mark.parametrize("more", [True, False])
def test_a_full_disk_ends_the_run_with_its_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RunFault, match=r"latest_net_G\.pth.*No space left on device"), run.background:
        run.save("latest")
        run.background.wait("save")
        monkeypatch.setattr(files.os, "replace", full)
        run.save("latest")
        if more:
            run.save("latest")
            raise AssertionError("the second save tells of the first")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest_net_G.pth", "latest_state.pt"]


def test_the_page_is_written_off_the_thread_from_pictures_of_their_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, background, gate = Clock(), Background(), threading.Event()
    save = TrainPage.save_images
    monkeypatch.setattr(TrainPage, "save_images", lambda *args: (gate.wait(10), save(*args)))
    index = tmp_path / "web" / "index.html"
    run = fake_run(tmp_path, clock)
    run.background = background
    with background:
        show = create_visualizer(options(display=["html"]), run, images_per_epoch=8)
        background.wait("page")
        pictures = {"fake": torch.ones(1, 3, 4, 4)}
        show.images(pictures, clock)
        pictures["fake"].zero_()
        assert "epoch001_fake.png" not in index.read_text()
        gate.set()
        show.close()
        assert "epoch001_fake.png" in index.read_text()
