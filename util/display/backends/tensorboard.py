"""TensorBoard event files in checkpoints/<name>/tensorboard."""

from argparse import Namespace
from collections.abc import Mapping

from torch import Tensor

from util.clock import Clock
from util.display.backends.base import Backend
from util.imaging.images import sheet, to_uint8
from util.run.lifecycle import Run


class TensorboardBackend(Backend):
    """Plots against the number of images; a resumed run hides later events of the earlier part."""

    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.model.save_dir / "tensorboard"), purge_step=run.clock.images + 1)

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, clock.images)

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        for label, image in images.items():
            self._writer.add_image(label, sheet(to_uint8(image)), clock.images, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
