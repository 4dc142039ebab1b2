"""Weights & Biases; the package reads WANDB_MODE=offline and WANDB_MODE=disabled itself."""

import importlib
from argparse import Namespace
from collections.abc import Mapping

from torch import Tensor

from util.clock import Clock
from util.display.backends.base import Backend
from util.imaging.images import sheet, to_uint8
from util.run.lifecycle import Run


class WandbBackend(Backend):
    """Plots against the number of images; a resumed run becomes another W&B run in the same group."""

    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        self._wandb = importlib.import_module("wandb")  # this module has the same name
        names = {"project": opt.wandb_project_name, "name": opt.name, "group": opt.name}
        self._run = self._wandb.init(**names, dir=str(run.model.save_dir), config=dict(vars(opt)))

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        self._run.log({**values, "epoch": clock.epoch}, step=clock.images)

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        panels = {label: self._wandb.Image(sheet(to_uint8(image))) for label, image in images.items()}
        self._run.log(panels, step=clock.images)

    def close(self) -> None:
        self._run.finish()
