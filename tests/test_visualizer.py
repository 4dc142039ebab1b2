"""The visualizer, and the backends that write no loss files: page, console, TensorBoard and W&B."""

import io
import re
import sys
import types
from pathlib import Path

import pytest
import torch
from conftest import ROOT, refused
from display_run import fake_run, options, train, visualizer

from util.clock import Clock
from util.display.backends.base import Backend
from util.display.backends.console import ConsoleBackend
from util.errors import RunFault
from util.visualizer import BACKENDS, MAX_IMAGES, Visualizer

FILES = ["loss_log", "jsonl", "html"]


class Recorder(Backend):
    """Records its calls; with an error, scalars() raises it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[object] = []
        self.error = error

    def scalars(self, values, clock):
        self.calls.append(dict(values))
        if self.error:
            raise self.error

    def images(self, images, clock):
        self.calls.append(images)

    def close(self):
        self.calls.append("closed")


def example(number: int) -> str:
    """An example of docs/pages.md."""
    return (ROOT / "docs" / "pages.md").read_text().split("```python\n")[1 + number].split("```")[0]


def test_every_backend_receives_everything():
    backends = [Recorder(), Recorder()]
    show = Visualizer(backends)
    show.scalars({"D": 1.0}, Clock())
    show.images({"fake": torch.zeros(100, 3, 2, 2, requires_grad=True)}, Clock())
    show.step(Clock())
    show.close()
    for backend in backends:
        assert backend.calls[0] == {"D": 1.0} and backend.calls[2] == "closed"
        images = backend.calls[1]["fake"]
        assert images.shape == (MAX_IMAGES, 3, 2, 2) and not images.requires_grad
    assert backends[0].calls[1]["fake"] is backends[1].calls[1]["fake"]


def test_other_ranks_show_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    recorder = Recorder()
    Visualizer([recorder]).scalars({"D": 1.0}, Clock())
    assert recorder.calls == []
    train(visualizer(tmp_path, [*FILES, "console"], clock := Clock()), clock, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_backend_is_removed_with_one_warning(capsys):
    failing, working = Recorder(ConnectionError("gone\naway")), Recorder()
    show = Visualizer([failing, working])
    show.scalars({"D": 1.0}, Clock())
    show.scalars({"D": 2.0}, Clock())
    assert len(failing.calls) == 1 and len(working.calls) == 2
    (warning,) = capsys.readouterr().err.splitlines()
    assert "Recorder" in warning and warning.endswith("ConnectionError: gone")


def test_a_full_disk_stops_the_run():
    with pytest.raises(RunFault):
        Visualizer([Recorder(RunFault("disk full"))]).scalars({"D": 1.0}, Clock())


def test_a_new_backend_needs_one_class_and_one_line(tmp_path, monkeypatch):
    imports = "from __future__ import annotations\nfrom util.display.backends.base import Backend\n"
    (tmp_path / "csv_backend.py").write_text(imports + example(1))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BACKENDS, "csv", "csv_backend:CsvBackend")
    train(visualizer(tmp_path, ["csv"], clock := Clock()), clock, 1)
    assert (tmp_path / "losses.csv").read_text().splitlines()[:2] == ["2,0.5,4.0", "4,0.25,6.0"]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with refused(tmp_path / "file", error=RunFault):
        visualizer(tmp_path / "file", [name])


def index_text(folder: Path) -> str:
    return (folder / "web" / "index.html").read_text(encoding="utf-8")


def test_the_page_follows_the_run(tmp_path):
    show = visualizer(tmp_path, ["jsonl", "html"], clock := Clock(), update_html_freq=6)
    assert "Options" in index_text(tmp_path)
    train(show, clock, 2, stop=4)  # the first images of an epoch are on the page at once
    assert "epoch001_fake_B.png" in index_text(tmp_path) and '"refresh"' in index_text(tmp_path)
    train(show, clock, 2)
    text = index_text(tmp_path)
    assert '"refresh"' not in text and "epoch 2 · 16 images seen" in text
    assert text.index("Epoch 2") < text.index("<svg") < text.index("Epoch 1")


def test_the_page_is_written_when_due_and_not_at_every_step(tmp_path, monkeypatch):
    from util.pages.train_page import TrainPage

    written: list[str] = []
    monkeypatch.setattr(
        TrainPage, "write", lambda page, subtitle, **_: written.append(subtitle.split(" · ")[1])
    )
    show = visualizer(tmp_path, ["html"], clock := Clock(), update_html_freq=7)
    for _ in range(10):
        clock.advance(3)
        show.step(clock)
    assert [int(text.split()[0]) for text in written] == [0, 9, 15, 21, 30]


def test_a_new_panel_needs_one_function_and_one_line(tmp_path, monkeypatch):
    from util.display.backends import html

    names = {**vars(html), "PANELS": dict(html.PANELS)}
    exec(example(0), names)
    monkeypatch.setitem(html.PANELS, "Speed", names["speed"])
    monkeypatch.setitem(html.PANELS, "Empty", lambda history, clock, opt: "")
    train(visualizer(tmp_path, ["html"], clock := Clock()), clock, 1)
    assert re.findall("<h2>(.+)</h2>", index_text(tmp_path)) == ["Epoch 1", "Losses", "Speed", "Options"]
    assert "8.1 images per second" in index_text(tmp_path)


def console(tmp_path: Path) -> Visualizer:
    return Visualizer([ConsoleBackend(options(), fake_run(tmp_path), 8)])


def test_lines_without_a_terminal(tmp_path, capsys):
    train(console(tmp_path), Clock(), 1)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4 and out[0].startswith("(epoch: 1, iters: 2, time: ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(tmp_path, monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    train(console(tmp_path), Clock(epoch=1, epoch_images=4, images=4), 2)
    shown = terminal.getvalue()
    assert "epoch 1/5" in shown and "6/8" in shown and "epoch 2/5" in shown
    assert shown.count("(epoch: ") == 6 and "D_A 0." in shown


def test_a_terminal_without_tqdm_gets_lines(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr("util.display.backends.console.tqdm", None)
    train(console(tmp_path), Clock(), 1)
    assert terminal.getvalue().count("\n") == 4 and "\r" not in terminal.getvalue()


def test_tensorboard_receives_values_and_sheets(tmp_path, monkeypatch):
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
    show = visualizer(tmp_path, ["tensorboard"], Clock(images=6), resumed=True)
    show.scalars({"D": 1.0}, Clock(images=8))
    show.images({"fake": torch.zeros(1, 2, 4, 4)}, Clock(images=8))
    show.close()
    assert calls == [("open", "tensorboard", 7), ("D", 1.0, 8), ("fake", (4, 4, 1), 8, "HWC"), ("close",)]


class FakeWandb(types.ModuleType):
    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        super().__init__("wandb")
        self.error = error
        self.logged: list[tuple[dict, int]] = []
        monkeypatch.setitem(sys.modules, "wandb", self)

    def init(self, **settings):
        if self.error:
            raise self.error
        self.settings = settings
        return self

    def log(self, values, step):
        self.logged.append((values, step))

    def Image(self, pixels):
        return pixels.shape

    def finish(self):
        self.logged.append(({}, -1))


def test_wandb_receives_values_and_images_in_one_call_each(tmp_path, monkeypatch):
    wandb = FakeWandb(monkeypatch)
    show = visualizer(tmp_path, ["wandb"], wandb_project_name="zoo")
    show.scalars({"D": 1.0, "G": 2.0}, Clock(epoch=3, images=8))
    show.images({"fake": torch.zeros(1, 3, 4, 4)}, Clock(images=8))
    show.close()
    assert wandb.settings["project"] == "zoo" and wandb.settings["config"]["display_winsize"] == 64
    assert wandb.logged == [({"D": 1.0, "G": 2.0, "epoch": 3}, 8), ({"fake": (4, 4, 3)}, 8), ({}, -1)]


def test_wandb_that_cannot_start_is_left_out(tmp_path, monkeypatch, capsys):
    FakeWandb(monkeypatch, RuntimeError("no API key"))
    show = visualizer(tmp_path, ["wandb", "loss_log"])
    show.scalars({"D": 1.0}, Clock())
    assert "D: 1.000" in (tmp_path / "loss_log.txt").read_text()
    (warning,) = capsys.readouterr().err.splitlines()
    assert "--display wandb" in warning and warning.endswith("RuntimeError: no API key")
