"""loss_log.txt and losses.jsonl: what they contain, how a resumed run continues them, and reading them back."""

import json
import math
import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from conftest import refused
from display_run import fake_run, train, visualizer

from util.clock import Clock
from util.display.append_log import AppendLog
from util.display.loss_line import line_position, loss_line
from util.errors import RunFault
from util.files import set_aside
from util.pages import loss_history
from util.pages.loss_history import History, Series

FILES = ["loss_log", "jsonl", "html"]
HEADER = r"================ Training Loss \(.+\) ================"
RECORD = '{"epoch": 1, "iters": 2, "images": 2, "time": 0.1, "data": 0.0, "losses": {"D": 1.0}}'


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def loss_lines(folder: Path) -> list[str]:
    return [line for line in lines(folder / "loss_log.txt") if line.startswith("(")]


def test_upstreams_line():
    clock = Clock(epoch=1, epoch_images=100, images=100, step_s=0.12345, data_s=0.002)
    text = loss_line({"D_A": 0.1234, "G_A": 0.4567, "x": math.nan}, clock)
    assert text == "(epoch: 1, iters: 100, time: 0.123, data: 0.002) D_A: 0.123 G_A: 0.457 x: nan "
    assert line_position(text) == (1, 100)
    assert line_position("================ Training Loss (now) ================") is None


def test_the_files_of_a_run(tmp_path):
    train(visualizer(tmp_path, FILES, clock := Clock()), clock, 2)
    log = lines(tmp_path / "loss_log.txt")
    assert re.fullmatch(HEADER, log[0])
    assert log[1] == "(epoch: 1, iters: 2, time: 0.123, data: 0.002) D_A: 0.500 G_A: 4.000 "
    assert log[-1].startswith("(epoch: 2, iters: 8, ") and len(log) == 9
    record = json.loads(lines(tmp_path / "losses.jsonl")[2])
    assert record.pop("losses") == {"D_A": 1 / 6, "G_A": 8.0}
    assert abs(datetime.fromisoformat(record.pop("at")) - datetime.now().astimezone()) < timedelta(hours=1)
    assert record.pop("lr") == {"G": 0.0002}
    assert record == {"epoch": 1, "iters": 6, "images": 6, "time": 0.1234, "data": 0.002}


def test_losses_that_are_not_finite_are_null_in_jsonl(tmp_path):
    visualizer(tmp_path, ["jsonl"]).scalars({"D": math.nan, "G": -math.inf, "ok": 1.0}, Clock())
    record = json.loads((tmp_path / "losses.jsonl").read_text(), parse_constant=pytest.fail)
    assert record["losses"] == {"D": None, "G": None, "ok": 1.0}


def test_files_of_a_resumed_run_equal_those_of_an_uninterrupted_one(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(visualizer(whole, FILES, clock := Clock()), clock, 3)

    # saved after 12 images, killed after 18, in the middle of a line
    train(visualizer(parts, FILES, clock := Clock()), clock, 3, stop=18)
    for name in ("loss_log.txt", "losses.jsonl"):
        with (parts / name).open("a") as log:
            log.write('{"epoch": 3, "ite')
    assert (parts / "web" / "images" / "epoch002_fake_B.png").exists()
    clock = Clock(epoch=2, epoch_images=4, images=12)
    show = visualizer(parts, FILES, clock, resumed=True)
    assert [json.loads(line)["images"] for line in lines(parts / "losses.jsonl")] == [2, 4, 6, 8, 10, 12]
    page = (parts / "web" / "index.html").read_text(encoding="utf-8")
    assert "<svg" in page and "G_A <b>14.000" in page and "epoch 2 · 12 images" in page
    train(show, clock, 3)

    assert loss_lines(parts) == loss_lines(whole)
    assert (parts / "losses.jsonl").read_bytes() == (whole / "losses.jsonl").read_bytes()
    assert len([line for line in lines(parts / "loss_log.txt") if re.fullmatch(HEADER, line)]) == 2
    pages = [(run / "web" / "index.html").read_text(encoding="utf-8") for run in (parts, whole)]
    assert pages[0].split("<main>")[1] == pages[1].split("<main>")[1]


def test_a_new_run_keeps_the_files_of_the_old_one(tmp_path):
    for _ in range(2):
        train(visualizer(tmp_path, FILES, clock := Clock()), clock, 2)
    assert len(loss_lines(tmp_path)) == 16
    assert len(lines(tmp_path / "losses.jsonl")) == len(lines(tmp_path / "losses_1.jsonl")) == 8
    assert (tmp_path / "web_1" / "images" / "epoch002_fake_B.png").exists()
    # resuming the second run removes lines of that run only
    visualizer(tmp_path, FILES, Clock(epoch=1, epoch_images=2, images=2), resumed=True)
    assert len(loss_lines(tmp_path)) == 8 + 1


def number(line: str) -> tuple[int] | None:
    return (int(line),) if line.isdigit() else None


@pytest.mark.parametrize("incomplete", ["", "1", "h\r"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("h 1 2 h 3 4", "h 1 2 h"),
        ("h 1 9 h 1 4", "h 1 9 h 1"),
        ("h 3 h 4 h", "h h h"),
        ("1 2 2", "1 2 2"),
        ("8 9 1 7 h", "8 9 1 h"),
        ("", ""),
    ],
)
def test_rewinding_keeps_headers_and_earlier_runs(tmp_path, before, after, incomplete):
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{word}\n" for word in before.split()) + incomplete)
    AppendLog(path, number, (2,)).close()
    assert path.read_text().split() == after.split()


def test_rewinding_parses_one_line_more_than_it_removes(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{line}\n" for line in range(100_000)))
    parsed: list[str] = []
    AppendLog(path, lambda line: (parsed.append(line), number(line))[1], (99_990,)).close()
    assert set(parsed) == {str(line) for line in range(99_990, 100_000)}
    assert path.read_text().endswith("\n99989\n99990\n")


def test_lines_damaged_by_a_power_failure_are_removed(tmp_path):
    (tmp_path / "losses.jsonl").write_bytes(RECORD.encode() + b"\n\0\0\0\n{}\n[1, 2]\n\xff\xfe")
    visualizer(tmp_path, ["jsonl", "html"], Clock(epoch=1, epoch_images=2, images=2), resumed=True)
    assert lines(tmp_path / "losses.jsonl") == [RECORD]


def test_set_aside_finds_an_unused_name(tmp_path):
    for text in "ab":
        (tmp_path / "x.txt").write_text(text)
        set_aside(tmp_path / "x.txt")
    set_aside(tmp_path / "x.txt")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x_1.txt": "a", "x_2.txt": "b"}


class FullDisk:
    """A disk with this many bytes left; -1: it refuses."""

    def __init__(self, left: int) -> None:
        self.left = left

    def write(self, data: bytes) -> int:
        if self.left < 0:
            raise OSError(28, "No space left on device")
        return self.left


@pytest.mark.parametrize("left", [-1, 5])
def test_a_disk_that_fills_up(tmp_path, left):
    log = AppendLog(tmp_path / "log.txt", line_position)
    log._file = FullDisk(left)
    with refused(tmp_path / "log.txt", error=RunFault):
        log.add("a line that is longer")


@pytest.mark.parametrize(
    "line", ["{}", "[1, 2]", "3", '{"images": 1, "losses": [2]}', '{"images": null}', "{"]
)
def test_a_line_of_another_kind_is_skipped(tmp_path, line):
    (tmp_path / "losses.jsonl").write_text(f"{line}\n{RECORD}\n")
    show = visualizer(tmp_path, ["html"], Clock(epoch=1, epoch_images=2, images=2), resumed=True)
    assert "D <b>1.000" in (tmp_path / "web" / "index.html").read_text()
    show.close()


def read(folder: Path, count: int) -> Series:
    text = "".join(f'{{"images": {x}, "losses": {{"G": {x}, "D": null}}}}\n' for x in range(1, count + 1))
    (folder / "losses.jsonl").write_text(text)
    history = History.of_run(fake_run(folder, Clock(images=count - 1), resumed=True))
    assert list(history.series) == ["G"]
    return history.series["G"]


def test_a_file_is_read_up_to_the_clock(tmp_path):
    series = read(tmp_path, 500)
    assert [x for x, *_ in series.points] == [y for _, y, *_ in series.points] == list(range(1, 500))
    assert series.last == 499


def test_a_large_file_is_read_in_part_and_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_history, "MAX_BYTES", 20_000)
    series = read(tmp_path, 5000)
    xs = np.array(series.points)[:, 0]
    assert 300 < len(xs) < 1000 and len(set(np.diff(xs))) == 1
    assert xs[0] == 1 and series.last > 4980


def test_a_series_stays_bounded_and_keeps_its_mean():
    series = Series(max_points=100)
    for x in range(6400):
        series.add(x, float(x))
    points = np.array(series.points)
    assert 50 <= len(points) <= 100
    assert points[:, 1].mean() == pytest.approx(6399 / 2)
    assert (points[:, 0] == points[:, 1]).all() and (np.diff(points[:, 0]) > 0).all()
    assert series.last == 6399


def test_a_spike_stays_visible_among_many_points():
    series = Series()
    for x in range(100_000):
        series.add(x, 1000.0 if x == 12_345 else x % 2)
    points = np.array(series.points)
    assert len(points) < 2000
    assert points[:, 2].min() == 0 and sorted(points[:, 3])[-2:] == [1, 1000]
