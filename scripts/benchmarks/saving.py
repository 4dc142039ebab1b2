"""Writing and reading what a run leaves: checkpoints and pages, each beside the least that has to be done."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from scripts.benchmarks.gauge import Reading
from scripts.benchmarks.measure import Case, timed
from scripts.benchmarks.setting import Make, Setting, build, random_batch

if TYPE_CHECKING:
    from torch import Tensor

    from util.run.lifecycle import Run

RUN = "--model cycle_gan --crop_size 64"  # nets of full size; the side of the images changes no weight
PANELS = ("real_A", "fake_B", "rec_A", "idt_B", "real_B", "fake_A", "rec_B", "idt_A")
EPOCHS, POINTS = 25, 2000  # of a run that has gone on for long
RESULTS = 20  # inputs of a results page


@contextmanager
def save_case(setting: Setting) -> Iterator[Case]:
    """What training waits for while a run is saved beside it; beside a save that it waits for wholly."""
    with tempfile.TemporaryDirectory() as folder:
        run = _run(setting, folder)
        save = timed(setting.gauge, lambda: run.save("latest"))

        def beside(memory: bool) -> Reading:
            with run.background:  # which is left when all is written
                return save(memory)

        yield Case(beside, save, "plain, which waits for the disk")


@contextmanager
def load_case(setting: Setting) -> Iterator[Case]:
    """Going on with a run, beside torch.load of its file."""
    from util.run import checkpoint

    with tempfile.TemporaryDirectory() as folder:
        run = _run(setting, folder)
        run.save("latest")
        bare = timed(setting.gauge, lambda: checkpoint.load(run.checkpoint.path))
        yield Case(timed(setting.gauge, run.checkpoint.load), bare, "torch.load alone")


@contextmanager
def train_page_case(setting: Setting) -> Iterator[Case]:
    """Pictures and page of a late epoch, as --display html writes them; beside the pictures alone."""
    from util.background import Background
    from util.clock import Clock
    from util.display.backends.html import HtmlBackend
    from util.display.loss_history import History

    with tempfile.TemporaryDirectory() as folder:
        history, clock = History(), Clock(epoch=1, epoch_images=1, images=1)
        for point in range(POINTS):
            history.add(point, dict.fromkeys(PANELS, 1 / (point + 1)))
        model = SimpleNamespace(save_dir=Path(folder))
        # the background is not entered, so that its jobs are done at once
        run: Any = SimpleNamespace(model=model, clock=clock, resumed=False, background=Background())
        opt = Namespace(name="benchmark", display_winsize=256, update_html_freq=1)
        page = HtmlBackend(opt, run, images_per_epoch=1)
        page.history = history
        picture = _picture()
        shown = dict.fromkeys(PANELS, picture)

        def turn() -> None:
            clock.images += 1  # each call is the page's turn
            page.images(shown, clock)

        for clock.epoch in range(1, EPOCHS + 1):
            turn()
        yield Case(
            timed(setting.gauge, turn),
            timed(setting.gauge, lambda: _pictures_alone(Path(folder, "bare"), picture, len(shown))),
            "its pictures alone",
        )


@contextmanager
def result_page_case(setting: Setting) -> Iterator[Case]:
    """What test.py writes of a few inputs, three pictures each; beside the pictures alone."""
    from util.pages.results_page import ResultsPage

    with tempfile.TemporaryDirectory() as folder:
        picture = _picture()
        shown = dict.fromkeys(PANELS[:3], picture)

        def write() -> None:
            page = ResultsPage(Path(folder, "results"), "benchmark")
            for index in range(RESULTS):
                page.add(f"{index}.jpg", None, shown)
            page.save()

        bare = timed(
            setting.gauge, lambda: _pictures_alone(Path(folder, "bare"), picture, RESULTS * len(shown))
        )
        yield Case(
            timed(setting.gauge, write), bare, "its pictures alone", units=RESULTS * len(shown), images=1
        )


ALL: dict[str, tuple[str, Make]] = {
    "checkpoint_save": ("saving a CycleGAN run", save_case),
    "checkpoint_load": ("going on with it", load_case),
    "train_page": ("pictures and page of a late epoch", train_page_case),
    "result_page": ("pages of results, a picture", result_page_case),
}


def _run(setting: Setting, folder: str) -> Run:
    """A run that has made a step, so that its optimizers have something to save."""
    from util.run import lifecycle

    opt = setting.options(RUN, fast=True, folder=folder)
    model = build(opt)
    model.optimize_parameters(random_batch(opt, setting.device))
    return lifecycle.begin(opt, model)


def _picture() -> Tensor:
    """(1, 3, 256, 256) in [-1, 1], of the kind that nets make."""
    import torch

    from scripts.toy.scenes import draw_scene, render

    pixels = torch.from_numpy(render(draw_scene(0, "train", 0), "striped", 256))
    return (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).contiguous()


def _pictures_alone(folder: Path, picture: Tensor, count: int) -> None:
    from util.imaging.images import save_image, to_uint8

    for index in range(count):
        save_image(to_uint8(picture)[0], folder / f"{index}.png")
