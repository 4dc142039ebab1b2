"""The folder of results: one writer at a time, nothing of an earlier input, nothing of an aborted attempt."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from conftest import refused

from options.test_options import TestOptions
from util.errors import RunFault
from util.pages.results_folder import inputs_of, new_results, saved_epoch
from util.pages.results_page import ResultsPage
from util.pages.sheet_page import draw


def make(folder: Path, inputs: dict, content: str) -> None:
    with new_results(folder, inputs) as new:
        (new / "images").mkdir()
        (new / "images" / "x.png").write_text(content)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("x.png")}


def test_other_inputs_and_folders_of_others_are_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "test_latest"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "x.png").write_text("from an older version")
    for number, inputs in enumerate([{"dataroot": "a"}, {"dataroot": "b"}, {"dataroot": "b"}]):
        make(folder, inputs, f"{number}")
    assert contents(tmp_path) == {
        "test_latest_1/images/x.png": "from an older version",
        "test_latest_2/images/x.png": "0",
        "test_latest/images/x.png": "2",
    }
    assert json.loads((folder / "input.json").read_text()) == {"dataroot": "b"}


@pytest.mark.parametrize("flag", ["--no_ema", "--eval", "--direction=BtoA", "--epoch=5"])
def test_what_decides_the_images_is_part_of_the_input(tmp_path: Path, flag: str) -> None:
    words = ["--name", "r", "--checkpoints_dir", str(tmp_path), "--dataroot", str(tmp_path)]
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "opt.json").write_text('{"model": "pix2pix"}')
    plain, other = (inputs_of(TestOptions().parse([*words, *more])) for more in ([], [flag]))
    assert plain == inputs_of(TestOptions().parse([*words, "--num_test", "7"]))
    assert plain != other


@pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX locks")
def test_a_second_writer_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    folder = tmp_path / "test_latest"
    with new_results(folder, {}) as first:
        (first / "x.png").write_text("first")
        with refused("--results_dir", f"{folder}_unfinished"), new_results(folder, {}):
            pass
        assert (first / "x.png").read_text() == "first"
    assert (folder / "x.png").read_text() == "first"
    make(folder, {}, "second")  # the lock is free again
    assert contents(tmp_path) == {"test_latest/images/x.png": "second"}


def test_an_aborted_attempt_is_kept_until_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "test_latest"
    for error in (KeyboardInterrupt, RunFault):
        with pytest.raises(error), new_results(folder, {}) as new:
            (new / "images").mkdir()
            (new / "images" / f"{error.__name__}.png").touch()
            raise error
        assert [path.name for path in tmp_path.rglob("*.png")] == [f"{error.__name__}.png"]
    make(folder, {}, "complete")
    assert [path.name for path in tmp_path.iterdir()] == ["test_latest"]


def test_an_attempt_without_images_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunFault), new_results(tmp_path / "results" / "run" / "test_latest", {}):
        raise RunFault("no memory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pictures_and_sheets_refuse_numbers_that_are_not_finite(tmp_path: Path, value: float) -> None:
    from util.imaging.sheets import Plan, make

    (sheet,) = make(["grid"], Plan(z_dim=4, columns=2))
    with refused("--sheets grid", error=RunFault):
        draw(lambda batch: {"fake": torch.full((len(batch["z"]), 3, 4, 4), value)}, sheet, 4)
    with refused("fake", "a/b.png", error=RunFault):
        ResultsPage(tmp_path, "t").add("a/b.png", None, {"fake": torch.full((3, 4, 4), value)})


@pytest.mark.parametrize("place", ["test_latest_unfinished", "test_latest_replaced", "test_latest"])
def test_links_in_foreign_results_lead_to_no_loss(tmp_path: Path, place: str) -> None:
    """What a link among the results leads to keeps its content."""
    work, folder = tmp_path / "work", tmp_path / "results" / "test_latest"
    work.mkdir()
    for name in ("thesis.txt", "input.json"):
        (work / name).write_text("{}")
    make(folder, {}, "earlier")
    if (folder.with_name(place)).exists():
        folder.rename(tmp_path / "moved")
    folder.with_name(place).symlink_to(work)
    make(folder, {}, "new")
    make(folder, {}, "newer")
    assert sorted(path.name for path in work.iterdir()) == ["input.json", "thesis.txt"]
    assert contents(folder) == {"images/x.png": "newer"} and not folder.is_symlink()
    assert [path.name for path in folder.parent.iterdir()] == ["test_latest"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
def test_a_fifo_instead_of_the_inputs_is_no_reason_to_wait(tmp_path: Path) -> None:
    make(tmp_path / "test_latest", {}, "earlier")
    (tmp_path / "test_latest" / "input.json").unlink()
    os.mkfifo(tmp_path / "test_latest" / "input.json")
    make(tmp_path / "test_latest", {}, "new")
    assert contents(tmp_path)["test_latest/images/x.png"] == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
def test_a_fifo_instead_of_the_state_has_no_epoch(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "latest_state.pt")
    assert saved_epoch(tmp_path) is None
