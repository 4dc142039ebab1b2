"""Checkpoint files: written completely or not at all, and read without running code."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import names_all, refused

from util.clock import Clock
from util.errors import RunFault
from util.imaging.gif import save_gif
from util.imaging.images import save_image
from util.run import checkpoint
from util.run.checkpoint import Checkpoint


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    value = {"a": torch.arange(3), "b": [1, 2.5, "x", None, True]}
    checkpoint.save(value, tmp_path / "deep" / "x.pt")
    read = checkpoint.load(tmp_path / "deep" / "x.pt")
    assert torch.equal(read["a"], value["a"]) and read["b"] == value["b"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.pt"]


WRITERS: dict[str, Callable[[int, Path], None]] = {
    "x.pt": lambda value, path: checkpoint.save({"a": value}, path),
    "x.png": lambda value, path: save_image(np.full((2, 2, 3), value, np.uint8), path),
    "x.gif": lambda value, path: save_gif([np.full((2, 2, 3), value, np.uint8)] * 2, path, fps=10),
}


@pytest.mark.parametrize(("name", "step"), [("x.pt", "fsync"), *((name, "replace") for name in WRITERS)])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, step: str
) -> None:
    write_file, path = WRITERS[name], tmp_path / name
    write_file(1, path)
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with refused(path, "No space left on device", error=RunFault):
        write_file(2, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "evil.pth", _use_new_zipfile_serialization=not legacy)
    with refused("evil.pth", "code"):
        checkpoint.load(Path("evil.pth"))
    Path("bare.pth").write_bytes(pickle.dumps(Evil()))
    with refused("bare.pth"):
        checkpoint.load(Path("bare.pth"))
    assert not Path("pwned").exists()


def write(state: Checkpoint) -> None:
    checkpoint.save(state.state_dict(), state.path)


def test_parts_and_states_of_each_rank_are_restored(tmp_path: Path) -> None:
    clock, local = Clock(), Clock()
    clock.advance(7)
    local.advance(9)
    write(Checkpoint(tmp_path, {"clock": clock}, {"local": local}))
    other, other_local = Clock(), Clock()
    Checkpoint(tmp_path, {"clock": other}, {"local": other_local}).load()
    assert (other.images, other_local.images) == (7, 9)


def test_another_number_of_processes_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = Checkpoint(tmp_path, {"clock": Clock()}, {})
    checkpoint.save(run.state_dict() | {"ranks": [{}, {}]}, run.path)
    run.load()
    assert names_all(capsys.readouterr().err, ("2", "1", "processes"))
