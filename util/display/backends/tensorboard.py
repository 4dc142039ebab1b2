"""TensorBoard event files under checkpoints/<name>/tensorboard."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from util.clock import Clock
from util.display.backends.base import Backend
from util.errors import UserError
from util.imaging.images import sheet, to_uint8


class TensorboardBackend(Backend):
    """Values and images over the images seen; a resumed run hides the events beyond its clock.

    Raises UserError where tensorboard is missing.
    """

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            message = "--display tensorboard needs the package tensorboard: pip install tensorboard"
            raise UserError(message) from error
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=clock.images + 1)

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, clock.images)

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        for label, image in images.items():
            self._writer.add_image(label, sheet(to_uint8(image)), clock.images, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
