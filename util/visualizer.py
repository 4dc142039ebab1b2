"""Passes the losses and images of a run to the display backends."""

from __future__ import annotations

import pkgutil
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from util import log
from util.cli.packages import require
from util.cli.suggest import unknown
from util.clock import Clock
from util.errors import UserError

if TYPE_CHECKING:  # options import this module before torch
    from torch import Tensor

    from util.display.backends.base import Backend
    from util.imaging.fixed_inputs import FixedInputs, Model
    from util.run.lifecycle import Run

MAX_IMAGES = 64  # of a batch

# name in --display -> module:class, imported only when the backend is chosen
BACKENDS = {
    "console": "util.display.backends.console:ConsoleBackend",
    "loss_log": "util.display.backends.loss_log:LossLogBackend",
    "jsonl": "util.display.backends.jsonl:JsonlBackend",
    "html": "util.display.backends.html:HtmlBackend",
    "visdom": "util.display.backends.visdom:VisdomBackend",
    "tensorboard": "util.display.backends.tensorboard:TensorboardBackend",
    "wandb": "util.display.backends.wandb:WandbBackend",
}
PACKAGES = {"html": "dominate", "tensorboard": "tensorboard", "wandb": "wandb"}  # what a backend imports


class Visualizer:
    """Passes values and images to all backends in rank 0, and does nothing in the other ranks.

    A backend that raises an error is removed with a warning, and training continues. UserError and RunFault (a
    full disk) are raised, because the user can correct them.
    """

    def __init__(self, backends: Sequence[Backend], fixed: FixedInputs | None = None) -> None:
        self._backends = list(backends) if log.is_main() else []
        self._fixed = fixed

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        self._call(lambda backend: backend.scalars(values, clock))

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        """Show label -> (N, C, H, W) in [-1, 1], on any device, and the images of the fixed inputs."""
        if self._backends:
            images = {**images, **(self._fixed.visuals() if self._fixed else {})}
            on_cpu = {label: image.detach()[:MAX_IMAGES].cpu() for label, image in images.items()}
            self._call(lambda backend: backend.images(on_cpu, clock))

    def step(self, clock: Clock) -> None:
        """Report that a training step is done."""
        self._call(lambda backend: backend.step(clock))

    def close(self) -> None:
        self._call(lambda backend: backend.close())

    def _call(self, method: Callable[[Backend], None]) -> None:
        for backend in tuple(self._backends):
            try:
                method(backend)
            except UserError:
                raise
            except Exception as error:
                self._backends.remove(backend)
                log.warn(f"{type(backend).__name__} failed and is switched off: {_first_line(error)}")


def create_visualizer(
    opt: Namespace, run: Run, *, images_per_epoch: int, fixed: Callable[[], Mapping[str, Any]] = dict
) -> Visualizer:
    """Create the backends named in `opt.display`, which have passed check_names() and check_packages().

    `fixed` reads a batch whose images are shown beside those of the current step.
    A backend that cannot start is left out with a warning. Raises RunFault if a file cannot be written.
    """
    backends: list[Backend] = []
    for name in dict.fromkeys(opt.display if log.is_main() else ()):
        try:
            backends.append(pkgutil.resolve_name(BACKENDS[name])(opt, run, images_per_epoch))
        except UserError:
            raise
        except Exception as error:
            log.warn(f"--display {name} cannot start and is left out: {_first_line(error)}")
    from util.display.backends.base import Backend  # imports torch
    from util.imaging.fixed_inputs import FixedInputs

    shows_images = any(type(backend).images is not Backend.images for backend in backends)
    return Visualizer(backends, FixedInputs(cast("Model", run.model), fixed()) if shows_images else None)


def check_names(names: Iterable[str]) -> None:
    """Raise UserError for a name that is not in BACKENDS."""
    for name in names:
        if name not in BACKENDS:
            raise UserError(unknown("--display", name, BACKENDS))


def check_packages(names: Iterable[str]) -> None:
    """Raise UserError if the package of a backend is not installed."""
    for name in names:
        if name in PACKAGES:
            other = "--no_html" if name == "html" else "another --display"
            require(PACKAGES[name], f"--display {name}", other)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
