"""Options and a run for tests of the display backends, without a model."""

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from util.background import Background
from util.clock import Clock
from util.visualizer import Visualizer, create_visualizer

OPTIONS = {
    "name": "run",
    "display_winsize": 64,
    "display_ncols": 4,
    "display_env": "main",
    "display_server": "http://127.0.0.1",
    "update_html_freq": 1000,
    "wandb_project_name": "project",
}


def options(**changed: object) -> Namespace:
    return Namespace(**(OPTIONS | changed))


def fake_run(folder: Path, clock: Clock | None = None, *, resumed: bool = False) -> Any:
    """What the backends use of a Run, with epochs 1 to 5."""
    return SimpleNamespace(
        model=SimpleNamespace(save_dir=folder, learning_rates=lambda: {"G": 0.0002}),
        clock=clock or Clock(),
        resumed=resumed,
        last_epoch=5,
        progress=lambda: "now",
        background=Background(),
    )


def visualizer(
    folder: Path, names: list[str], clock: Clock | None = None, *, resumed: bool = False, **changed: object
) -> Visualizer:
    """The named backends of a run with 8 images per epoch."""
    run = fake_run(folder, clock, resumed=resumed)
    return create_visualizer(options(display=names, **changed), run, images_per_epoch=8)


def train(show: Visualizer, clock: Clock, last_epoch: int, stop: int | None = None) -> None:
    """Advance by batches of 2, with losses every 2 images and pictures every 4; end after `stop` images."""
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
