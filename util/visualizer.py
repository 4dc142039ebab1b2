"""Shows a run in every chosen place: a rank-0 guard and a for-loop over backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from util import log
from util.background import Background
from util.cli.packages import require
from util.cli.suggest import unknown
from util.clock import Clock
from util.display.backends.base import Backend
from util.display.loss_history import History
from util.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MOST_IMAGES = 64  # of a batch, so that a large one makes no picture nobody can read


@dataclass(frozen=True)
class Settings:
    """What the backends need to know of the run; `folder` is checkpoints/<name>, `clock` the restored one."""

    folder: Path
    name: str
    options: Mapping[str, object]
    clock: Clock
    resume: bool
    images_per_epoch: int
    last_epoch: int
    background: Background = field(default_factory=Background)
    image_width: int = 256  # --display_winsize, in pixels
    update_html_freq: int = 1000  # in images
    visdom_server: str = "http://localhost"
    visdom_port: int = 8097
    visdom_env: str = "main"
    visdom_ncols: int = 4
    wandb_project: str = "CycleGAN-and-pix2pix"


def _past(s: Settings) -> History:
    """The values of a resumed run as far as its clock has come."""
    history = History()
    if s.resume:
        history.read(s.folder / "losses.jsonl", up_to=s.clock.images)
    return history


def _console(s: Settings) -> Backend:
    from util.display.backends.console import ConsoleBackend

    return ConsoleBackend(images_per_epoch=s.images_per_epoch, last_epoch=s.last_epoch)


def _loss_log(s: Settings) -> Backend:
    from util.display.backends.loss_log import LossLogBackend

    return LossLogBackend(s.folder, clock=s.clock, resume=s.resume)


def _jsonl(s: Settings) -> Backend:
    from util.display.backends.jsonl import JsonlBackend

    return JsonlBackend(s.folder, clock=s.clock, resume=s.resume)


def _html(s: Settings) -> Backend:
    from util.display.backends.html import HtmlBackend

    return HtmlBackend(
        s.folder,
        title=s.name,
        options=s.options,
        image_width=s.image_width,
        update_freq=s.update_html_freq,
        clock=s.clock,
        resume=s.resume,
        history=_past(s),
        background=s.background,
    )


def _visdom(s: Settings) -> Backend:
    from util.display.backends.visdom import VisdomBackend

    return VisdomBackend(
        server=s.visdom_server,
        port=s.visdom_port,
        env=s.visdom_env,
        ncols=s.visdom_ncols,
        winsize=s.image_width,
        name=s.name,
        history=_past(s),
    )


def _tensorboard(s: Settings) -> Backend:
    from util.display.backends.tensorboard import TensorboardBackend

    return TensorboardBackend(s.folder, clock=s.clock)


def _wandb(s: Settings) -> Backend:
    from util.display.backends.wandb import WandbBackend

    return WandbBackend(s.folder, project=s.wandb_project, name=s.name, options=s.options)


BACKENDS: dict[str, Callable[[Settings], Backend]] = {
    "console": _console,
    "loss_log": _loss_log,
    "jsonl": _jsonl,
    "html": _html,
    "visdom": _visdom,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}


# visdom is not among them: without it training goes on with a warning
PACKAGES = {"html": "dominate", "tensorboard": "tensorboard", "wandb": "wandb"}


class Visualizer:
    """Hands values and images to all backends in rank 0, and does nothing in the others.

    Showing never stops training: a backend that fails (a network gone, a package's bug) costs one warning
    and is dropped. What a person can mend (UserError; RunFault: a full disk) is raised.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = list(backends) if log.is_main() else []

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        """Losses and other numbers by name."""
        self._tell(lambda backend: backend.scalars(values, clock))

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        """label -> (N, C, H, W) in [-1, 1], on any device: brought to the CPU once for all backends."""
        if self._backends:
            shown = {label: image.detach()[:MOST_IMAGES].cpu() for label, image in images.items()}
            self._tell(lambda backend: backend.images(shown, clock))

    def step(self, clock: Clock) -> None:
        """A training step is done: moves the progress bar and looks whether the page is due."""
        self._tell(lambda backend: backend.step(clock))

    def close(self) -> None:
        self._tell(lambda backend: backend.close())

    def _tell(self, what: Callable[[Backend], None]) -> None:
        for backend in tuple(self._backends):
            try:
                what(backend)
            except UserError:
                raise
            except Exception as error:
                self._backends.remove(backend)
                log.warn(f"{type(backend).__name__} failed and is left out from here on: {_told(error)}")


def _told(error: Exception) -> str:
    """The error's type and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def check_names(names: Sequence[str]) -> None:
    """UserError for a name that is not in BACKENDS."""
    for name in names:
        if name not in BACKENDS:
            raise UserError(unknown("--display", name, BACKENDS))


def check_packages(names: Sequence[str]) -> None:
    """UserError where a backend's package is not installed."""
    for name in names:
        if name in PACKAGES:
            require(
                PACKAGES[name],
                f"--display {name}",
                other="--no_html" if name == "html" else "another --display",
            )


def create_visualizer(names: Sequence[str], settings: Settings) -> Visualizer:
    """Make the named backends; rank 0 alone makes any.

    Raises UserError for an unknown name or a missing package, RunFault where the run's folder cannot be
    written. A backend that cannot start for another reason is left out with a warning.
    """
    check_names(names)
    backends = []
    for name in dict.fromkeys(names if log.is_main() else ()):
        try:
            backends.append(BACKENDS[name](settings))
        except UserError:
            raise
        except Exception as error:
            log.warn(f"--display {name} cannot start and is left out: {_told(error)}")
    return Visualizer(backends)
