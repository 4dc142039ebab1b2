"""Weights & Biases; WANDB_MODE=offline or disabled in the environment is respected by the package itself."""

import importlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from util.clock import Clock
from util.display.backends.base import Backend
from util.errors import UserError
from util.imaging.images import sheet, to_uint8


class WandbBackend(Backend):
    """Values and images over the images seen; a resumed run is a further run of the same group.

    Raises UserError where wandb is missing.
    """

    def __init__(self, folder: Path, *, project: str, name: str, options: Mapping[str, object]) -> None:
        try:
            self._wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise UserError("--use_wandb needs the package wandb: pip install wandb") from error
        self._run = self._wandb.init(
            project=project, name=name, group=name, dir=str(folder), config=dict(options)
        )

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        self._run.log({**values, "epoch": clock.epoch}, step=clock.images)

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        panels = {label: self._wandb.Image(sheet(to_uint8(image))) for label, image in images.items()}
        self._run.log(panels, step=clock.images)

    def close(self) -> None:
        self._run.finish()
