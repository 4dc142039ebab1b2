"""The visualizer and its backends: what they write, wind back, leave out and survive."""

import io
import json
import math
import re
import sys
import types
from pathlib import Path

import pytest
import torch

from util.clock import Clock
from util.display.append_log import AppendLog
from util.display.backends.base import Backend
from util.display.backends.console import ConsoleBackend
from util.display.loss_line import line_position, loss_line
from util.errors import RunFault, UserError
from util.files import set_aside
from util.visualizer import MOST_IMAGES, Settings, Visualizer, create_visualizer

FILES = ["loss_log", "jsonl", "html"]
HEADER = r"================ Training Loss \(.+\) ================"


def settings(folder: Path, clock: Clock, *, resume: bool = False, **more: object) -> Settings:
    return Settings(
        folder=folder,
        name="run",
        options={"lr": 0.1},
        clock=clock,
        resume=resume,
        images_per_epoch=8,
        last_epoch=5,
        **more,
    )


def train(show: Visualizer, clock: Clock, last_epoch: int, stop: int | None = None) -> None:
    """Batches of 2, 8 images an epoch, losses each 2 images and pictures each 4; ends after `stop` images."""
    for _ in clock.epochs(last_epoch):
        while clock.epoch_images < 8:
            clock.advance(2)
            clock.step_s, clock.data_s = 0.1234, 0.002
            show.scalars({"D_A": 1 / clock.images, "G_A": 2.0 + clock.images}, clock)
            if clock.due(4):
                show.images({"real_A": torch.zeros(1, 3, 4, 4), "fake_B": torch.ones(1, 3, 4, 4)}, clock)
            show.step(clock)
            if clock.images == stop:
                return
        clock.end_epoch()
    show.close()


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def loss_lines(folder: Path) -> list[str]:
    return [line for line in lines(folder / "loss_log.txt") if line.startswith("(")]


# --- the visualizer


class Recorder(Backend):
    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[object] = []
        self.error = error

    def scalars(self, values, clock):
        self.seen.append(dict(values))
        if self.error:
            raise self.error

    def images(self, images, clock):
        self.seen.append(images)

    def close(self):
        self.seen.append("closed")


def test_every_backend_gets_everything():
    backends = [Recorder(), Recorder()]
    show = Visualizer(backends)
    show.scalars({"D": 1.0}, Clock())
    show.images({"fake": torch.zeros(100, 3, 2, 2, requires_grad=True)}, Clock())
    show.step(Clock())
    show.close()
    for backend in backends:
        assert backend.seen[0] == {"D": 1.0} and backend.seen[2] == "closed"
        shown = backend.seen[1]["fake"]
        assert shown.shape == (MOST_IMAGES, 3, 2, 2) and not shown.requires_grad
    assert backends[0].seen[1]["fake"] is backends[1].seen[1]["fake"]


def test_other_ranks_show_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    recorder = Recorder()
    Visualizer([recorder]).scalars({"D": 1.0}, Clock())
    assert recorder.seen == []
    train(create_visualizer([*FILES, "console"], settings(tmp_path, clock := Clock())), clock, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_backend_costs_one_warning(capsys):
    broken, sound = Recorder(ConnectionError("gone\naway")), Recorder()
    show = Visualizer([broken, sound])
    show.scalars({"D": 1.0}, Clock())
    show.scalars({"D": 2.0}, Clock())
    assert len(broken.seen) == 1 and len(sound.seen) == 2
    told = capsys.readouterr().err
    assert told.count("warning") == 1 and "Recorder failed" in told and "ConnectionError: gone\n" in told


def test_a_full_disk_stops_the_run():
    with pytest.raises(RunFault, match="full"):
        Visualizer([Recorder(RunFault("disk full"))]).scalars({"D": 1.0}, Clock())


def test_unknown_name_is_told_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"--display htlm .*html.*console"):
        create_visualizer(["htlm"], settings(tmp_path, Clock()))


# --- the loss line


def test_classic_line():
    clock = Clock(epoch=1, epoch_images=100, images=100, step_s=0.12345, data_s=0.002)
    text = loss_line({"D_A": 0.1234, "G_A": 0.4567, "x": math.nan}, clock)
    assert text == "(epoch: 1, iters: 100, time: 0.123, data: 0.002) D_A: 0.123 G_A: 0.457 x: nan "
    assert line_position(text) == (1, 100)
    assert line_position("================ Training Loss (now) ================") is None


# --- files


def test_logs_of_a_run(tmp_path):
    show = create_visualizer(FILES, settings(tmp_path, clock := Clock()))
    train(show, clock, 2)
    log = lines(tmp_path / "loss_log.txt")
    assert re.fullmatch(HEADER, log[0])
    assert log[1] == "(epoch: 1, iters: 2, time: 0.123, data: 0.002) D_A: 0.500 G_A: 4.000 "
    assert log[-1].startswith("(epoch: 2, iters: 8, ") and len(log) == 9
    record = json.loads(lines(tmp_path / "losses.jsonl")[2])
    assert record == {
        "epoch": 1,
        "iters": 6,
        "images": 6,
        "time": 0.1234,
        "data": 0.002,
        "losses": {"D_A": 1 / 6, "G_A": 8.0},
    }


def test_jsonl_stays_valid_with_what_is_not_finite(tmp_path):
    show = create_visualizer(["jsonl"], settings(tmp_path, Clock()))
    show.scalars({"D": math.nan, "G": -math.inf, "ok": 1.0}, Clock())
    record = json.loads((tmp_path / "losses.jsonl").read_text(), parse_constant=pytest.fail)
    assert record["losses"] == {"D": None, "G": None, "ok": 1.0}


def test_page_follows_the_run(tmp_path):
    show = create_visualizer(["jsonl", "html"], settings(tmp_path, clock := Clock(), update_html_freq=6))
    index = tmp_path / "web" / "index.html"
    assert "Options" in index.read_text(encoding="utf-8")
    train(show, clock, 2, stop=4)  # the first pictures of an epoch are on the page at once
    assert "epoch001_fake_B.png" in index.read_text(encoding="utf-8")
    assert '"refresh"' in index.read_text(encoding="utf-8")
    train(show, clock, 2)
    text = index.read_text(encoding="utf-8")
    assert '"refresh"' not in text and "epoch 2 · 16 images seen" in text
    assert text.index("Epoch 2") < text.index("<svg") < text.index("Epoch 1")


def test_page_is_written_when_due_not_at_every_step(tmp_path, monkeypatch):
    from util.pages.train_page import TrainPage

    written: list[str] = []
    monkeypatch.setattr(
        TrainPage, "write", lambda page, subtitle, **_: written.append(subtitle.split(" · ")[1])
    )
    show = create_visualizer(["html"], settings(tmp_path, clock := Clock(), update_html_freq=7))
    for _ in range(10):
        clock.advance(3)
        show.step(clock)
    assert [int(text.split()[0]) for text in written] == [0, 9, 15, 21, 30]


# --- resume


def test_resumed_files_equal_those_of_the_whole_run(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(create_visualizer(FILES, settings(whole, clock := Clock())), clock, 3)

    # saved after 12 images, killed after 18, in the middle of a line
    train(create_visualizer(FILES, settings(parts, clock := Clock())), clock, 3, stop=18)
    for name in ("loss_log.txt", "losses.jsonl"):
        with (parts / name).open("a") as log:
            log.write('{"epoch": 3, "ite')
    assert (parts / "web" / "images" / "epoch002_fake_B.png").exists()
    clock = Clock(epoch=2, epoch_images=4, images=12)
    show = create_visualizer(FILES, settings(parts, clock, resume=True))
    assert [json.loads(line)["images"] for line in lines(parts / "losses.jsonl")] == [2, 4, 6, 8, 10, 12]
    page = (parts / "web" / "index.html").read_text(encoding="utf-8")
    assert "<svg" in page and "G_A <b>14.000" in page and "epoch 2 · 12 images" in page
    train(show, clock, 3)

    assert loss_lines(parts) == loss_lines(whole)
    assert (parts / "losses.jsonl").read_bytes() == (whole / "losses.jsonl").read_bytes()
    assert len([line for line in lines(parts / "loss_log.txt") if re.fullmatch(HEADER, line)]) == 2
    pages = [(run / "web" / "index.html").read_text(encoding="utf-8") for run in (parts, whole)]
    assert pages[0].split("<main>")[1] == pages[1].split("<main>")[1]


def test_pictures_of_epochs_ahead_go(tmp_path):
    train(create_visualizer(FILES, settings(tmp_path, clock := Clock())), clock, 3)
    clock = Clock(epoch=2, epoch_images=0, images=8)
    create_visualizer(FILES, settings(tmp_path, clock, resume=True))
    assert {path.name[:8] for path in (tmp_path / "web" / "images").iterdir()} == {"epoch001"}


def test_a_run_that_starts_anew_loses_nothing_of_the_old_one(tmp_path):
    for _ in range(2):
        train(create_visualizer(FILES, settings(tmp_path, clock := Clock())), clock, 2)
    assert len(loss_lines(tmp_path)) == 16
    assert len(lines(tmp_path / "losses.jsonl")) == len(lines(tmp_path / "losses_1.jsonl")) == 8
    assert (tmp_path / "web_1" / "images" / "epoch002_fake_B.png").exists()
    # and a resume of the second run cuts that one alone
    create_visualizer(FILES, settings(tmp_path, Clock(epoch=1, epoch_images=2, images=2), resume=True))
    assert len(loss_lines(tmp_path)) == 8 + 1


def number(line: str) -> tuple[int] | None:
    return (int(line),) if line.isdigit() else None


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
def test_rewind_keeps_headers_and_earlier_runs(tmp_path, monkeypatch, before, after):
    path = tmp_path / "log.txt"
    for block in (1, 3, 65536):
        monkeypatch.setattr("util.display.append_log.BLOCK", block)
        for half in ("", "1", "h\r"):  # a line that a kill has cut short
            path.write_text("".join(f"{word}\n" for word in before.split()) + half)
            AppendLog(path, position=number, limit=(2,)).close()
            assert path.read_text().split() == after.split()


def test_rewind_reads_no_more_of_a_long_file_than_it_cuts(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{line}\n" for line in range(100_000)))
    looked_at: list[str] = []
    AppendLog(path, position=lambda line: (looked_at.append(line), number(line))[1], limit=(99_990,)).close()
    assert looked_at == [str(line) for line in range(99_999, 99_989, -1)]
    assert path.read_text().endswith("\n99989\n99990\n")


def test_lines_damaged_by_a_power_cut_go(tmp_path):
    good = '{"epoch": 1, "iters": 2, "images": 2, "time": 0.1, "data": 0.0, "losses": {"D": 1.0}}'
    (tmp_path / "losses.jsonl").write_bytes(good.encode() + b"\n\0\0\0\n\xff\xfe")
    clock = Clock(epoch=1, epoch_images=2, images=2)
    create_visualizer(["jsonl", "html"], settings(tmp_path, clock, resume=True))
    assert lines(tmp_path / "losses.jsonl") == [good]


def test_set_aside_finds_a_free_name(tmp_path):
    for text in "ab":
        (tmp_path / "x.txt").write_text(text)
        set_aside(tmp_path / "x.txt")
    set_aside(tmp_path / "x.txt")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x_1.txt": "a", "x_2.txt": "b"}


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFault, match=r"cannot write .*file"):
        create_visualizer([name], settings(tmp_path / "file", Clock()))


class FullDisk:
    """A disk with room for `room` bytes; -1: it refuses."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: bytes) -> int:
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return self.room


@pytest.mark.parametrize("room", [-1, 5])
def test_a_disk_that_fills_up(tmp_path, room):
    log = AppendLog(tmp_path / "log.txt", position=line_position, limit=None)
    log._file = FullDisk(room)
    with pytest.raises(RunFault, match=r"cannot write .*log\.txt: No space left on device"):
        log.add("a line that is longer")


# --- the console


def test_plain_lines_where_there_is_no_terminal(capsys):
    show = Visualizer([ConsoleBackend(images_per_epoch=8, last_epoch=2)])
    train(show, Clock(), 1)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4 and out[0].startswith("(epoch: 1, iters: 2, time: ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    show = Visualizer([ConsoleBackend(images_per_epoch=8, last_epoch=2)])
    clock = Clock(epoch=1, epoch_images=4, images=4)
    train(show, clock, 2)
    shown = terminal.getvalue()
    assert "epoch 1/2" in shown and "6/8" in shown and "epoch 2/2" in shown
    assert shown.count("(epoch: ") == 6
    assert "D_A 0.1" in shown or "D_A 0.0" in shown


def test_terminal_without_tqdm_gets_plain_lines(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    train(Visualizer([ConsoleBackend(images_per_epoch=8, last_epoch=1)]), Clock(), 1)
    assert terminal.getvalue().count("\n") == 4 and "\r" not in terminal.getvalue()


# --- optional packages


def test_without_dominate_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dominate", None)
    with pytest.raises(UserError, match="pip install dominate, or pass --no_html"):
        create_visualizer(["html"], settings(tmp_path, Clock()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "module", "sentence"),
    [
        ("tensorboard", "torch.utils.tensorboard", "pip install tensorboard"),
        ("wandb", "wandb", "pip install wandb"),
    ],
)
def test_missing_packages_are_named(tmp_path, monkeypatch, name, module, sentence):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=sentence):
        create_visualizer([name], settings(tmp_path, Clock()))


def test_tensorboard_gets_values_and_sheets(tmp_path, monkeypatch):
    calls: list[tuple] = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            calls.append(("open", Path(folder).name, purge_step))

        def add_scalar(self, *values):
            calls.append(values)

        def add_image(self, label, image, images, dataformats):
            calls.append((label, image.shape, images, dataformats))

        def flush(self): ...

        def close(self):
            calls.append(("close",))

    fake = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    show = create_visualizer(["tensorboard"], settings(tmp_path, Clock(images=6), resume=True))
    show.scalars({"D": 1.0}, Clock(images=8))
    show.images({"fake": torch.zeros(1, 2, 4, 4)}, Clock(images=8))
    show.close()
    assert calls == [("open", "tensorboard", 7), ("D", 1.0, 8), ("fake", (4, 4, 1), 8, "HWC"), ("close",)]


class FakeWandb(types.ModuleType):
    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__("wandb")
        self.fault = fault
        self.logged: list[tuple[dict, int]] = []

    def init(self, **settings):
        if self.fault:
            raise self.fault
        self.settings = settings
        return self

    def log(self, values, step):
        self.logged.append((values, step))

    def Image(self, pixels):
        return pixels.shape

    def finish(self):
        self.logged.append(({}, -1))


def test_wandb_gets_values_and_images_in_one_call_each(tmp_path, monkeypatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    show = create_visualizer(["wandb"], settings(tmp_path, Clock(), wandb_project="zoo"))
    show.scalars({"D": 1.0, "G": 2.0}, Clock(epoch=3, images=8))
    show.images({"fake": torch.zeros(1, 3, 4, 4)}, Clock(images=8))
    show.close()
    assert wandb.settings["project"] == "zoo" and wandb.settings["config"] == {"lr": 0.1}
    assert wandb.logged == [({"D": 1.0, "G": 2.0, "epoch": 3}, 8), ({"fake": (4, 4, 3)}, 8), ({}, -1)]


def test_wandb_that_cannot_start_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb(RuntimeError("no API key")))
    show = create_visualizer(["wandb", "loss_log"], settings(tmp_path, Clock()))
    show.scalars({"D": 1.0}, Clock())
    assert len(loss_lines(tmp_path)) == 1
    assert "--display wandb cannot start and is left out: RuntimeError: no API key" in capsys.readouterr().err
