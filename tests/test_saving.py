"""Saving a run: copies of its state, the order of its files, a full disk, and plugins with files of their own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import DatalessModel, refused
from test_contract import assert_same_state
from torch import nn

from util import drafts, files
from util.clock import Clock
from util.errors import RunFault
from util.run import checkpoint, lifecycle
from util.run.checkpoint import Checkpoint
from util.run.lifecycle import Run
from util.run.lr_schedule import Schedule
from util.run.snapshot import snapshot


def test_a_snapshot_does_not_follow_later_changes() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    state = {
        "nets": net.state_dict(),
        "list": [1, (2, torch.ones(2))],
        "text": "x",
        "random": torch.get_rng_state(),
    }
    copy = snapshot(state)
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


def test_other_containers_are_copied_with_their_type() -> None:
    computed = torch.ones(2, requires_grad=True) * 2
    state = {"pair": (computed, 3), "shape": torch.Size([2, 3]), "set": {1, 2}}
    copy = snapshot(state)
    assert [type(copy[key]) for key in state] == [tuple, torch.Size, set]
    assert (copy["pair"][1], copy["shape"], copy["set"]) == (3, (2, 3), {1, 2})
    with torch.no_grad():
        computed.zero_()
    assert copy["pair"][0].tolist() == [2, 2]


def test_a_tensor_in_several_states_is_copied_once() -> None:
    net = nn.Linear(3, 4)
    first, second = snapshot([net.state_dict(), {"again": [net.state_dict()]}])
    assert second["again"][0]["weight"].data_ptr() == first["weight"].data_ptr() != net.weight.data_ptr()


class TinyModel(DatalessModel):
    """One linear net; the rest of the contract is not needed to save."""

    def __init__(self, folder: Path) -> None:
        self.nets = nn.ModuleDict({"G": nn.Conv2d(2, 2, 3).to(memory_format=torch.channels_last)})
        self.ema = type("NoEMA", (), {"shadows": {}})()
        self.save_dir = folder
        self._terms = {}

    def fill(self, value: float) -> None:
        nn.init.constant_(self.nets["G"].weight, value)


class WithExtraFile(TinyModel):
    def network_files(self, epoch: int | str) -> dict[str, dict]:
        return super().network_files(epoch) | {f"{epoch}_colors.pth": {"table": self.nets["G"].weight}}


class WithOwnSave(TinyModel):
    def save_networks(self, epoch: int | str) -> None:
        super().save_networks(epoch)
        written = torch.load(self.save_dir / f"{epoch}_net_G.pth")
        checkpoint.save({"sum": written["weight"].sum()}, self.save_dir / f"{epoch}_sum.pth")


def make_run(folder: Path, kind: type[TinyModel] = TinyModel) -> Run:
    model = kind(folder)
    return Run(model, Clock(), Schedule("constant", 1, 0), Checkpoint(folder, {"nets": model.nets}, {}))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files in the order in which they are written."""
    order: list[str] = []
    write = files.write_atomically
    monkeypatch.setattr(
        files,
        "write_atomically",
        lambda path, content, sync: (order.append(path.name), write(path, content, sync=sync)),
    )
    return order


@contextmanager
def disk_busy(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within the context files are not written, and save() does not wait for that."""
    gate = threading.Event()
    run.background.do("save", lambda: gate.wait(10))
    with monkeypatch.context() as patch:
        patch.setattr(run.background, "wait", lambda kind, unfinished=0: None)
        yield
    gate.set()


def test_weights_of_the_moment_are_written_before_the_state(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[str]
) -> None:
    with run.background:
        with disk_busy(run, monkeypatch):
            run.model.fill(1)
            run.save("latest", 5)
            run.model.fill(2)
            assert written == []
        run.save("latest")
        run.model.fill(3)
    first = ["latest_net_G.pth", "5_net_G.pth", "latest_state.pt"]
    assert written == [*first, "latest_net_G.pth", "latest_state.pt"]
    saved = [checkpoint.load(tmp_path / f"{epoch}_net_G.pth")["weight"].mean() for epoch in (5, "latest")]
    assert saved == [1, 2]
    assert checkpoint.load(tmp_path / "latest_state.pt")["parts"]["nets"]["G.weight"].mean() == 2


def test_files_written_in_the_background_equal_those_written_at_once(tmp_path: Path) -> None:
    for folder in ("now", "later"):
        torch.manual_seed(0)
        run = make_run(tmp_path / folder)
        if folder == "now":
            run.save("latest")
        else:
            with run.background:
                run.save("latest")
    for name in ("latest_net_G.pth", "latest_state.pt"):
        assert (tmp_path / "now" / name).read_bytes() == (tmp_path / "later" / name).read_bytes()
    assert checkpoint.load(tmp_path / "later" / "latest_net_G.pth")["weight"].is_contiguous()


def test_a_save_is_written_before_the_next_one_copies(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    write = checkpoint.save_all
    monkeypatch.setattr(lifecycle, "snapshot", lambda state: (events.append("copied"), snapshot(state))[1])
    monkeypatch.setattr(checkpoint, "save_all", lambda contents: (write(contents), events.append("written")))
    with run.background:
        for _ in range(3):
            run.save("latest")
    assert events == ["copied", "written"] * 3


@pytest.mark.parametrize("save_again", [True, False])
def test_a_full_disk_ends_the_run_with_one_sentence_and_leaves_no_temporary_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_again: bool
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with refused("latest_net_G.pth", error=RunFault), run.background:
        run.save("latest")
        run.background.wait("save")
        monkeypatch.setattr(drafts.os, "replace", full)
        run.save("latest")
        if save_again:
            run.save("latest")
            raise AssertionError("the second save must raise the error of the first")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest_net_G.pth", "latest_state.pt"]


def in_background(run: Run) -> None:
    with run.background:
        run.save("latest", 5)


def at_once(run: Run) -> None:
    run.save("latest", 5)


@pytest.mark.parametrize("save", [in_background, at_once])
@pytest.mark.parametrize(("kind", "name"), [(WithExtraFile, "colors"), (WithOwnSave, "sum")])
def test_a_plugin_adds_files_with_network_files_or_save_networks(
    tmp_path: Path, kind: type, name: str, save: Callable[[Run], None], written: list[str]
) -> None:
    run = make_run(tmp_path, kind)
    save(run)
    files_of_epochs = [f"{epoch}_{part}.pth" for epoch in ("latest", 5) for part in ("net_G", name)]
    assert written == [*files_of_epochs, "latest_state.pt"]
    weight, (added,) = run.model.nets["G"].weight, checkpoint.load(tmp_path / f"5_{name}.pth").values()
    assert torch.equal(added, weight if name == "colors" else weight.contiguous().sum())


def test_save_networks_writes_at_once_while_the_background_is_on(run: Run, tmp_path: Path) -> None:
    with run.background:
        run.model.save_networks("mine")
        assert (tmp_path / "mine_net_G.pth").exists()
