"""The training page under checkpoints/<name>/web, kept up while the run goes on."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from util.background import Background
from util.clock import Clock
from util.display.backends.base import Backend
from util.display.loss_history import History
from util.files import set_aside
from util.imaging.images import sheet, to_uint8
from util.pages.html import require_dominate
from util.pages.loss_curves import loss_curves
from util.pages.train_page import REFRESH_S, TrainPage


class HtmlBackend(Backend):
    """Pictures are saved as they come; the page follows every `update_freq` images and at each epoch's end.

    With `resume`, it goes on from the pictures in `folder`/web as far as the clock has come; otherwise the
    web folder of an earlier run is set aside. `history` is what the run's curves hold so far. What goes to
    the disk goes there in the background.

    Raises UserError where dominate is missing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        title: str,
        options: Mapping[str, object],
        image_width: int,
        update_freq: int,
        clock: Clock,
        resume: bool,
        history: History,
        background: Background,
    ) -> None:
        require_dominate()
        web_dir = folder / "web"
        if not resume:
            set_aside(web_dir)
        self._history = history
        self._page = TrainPage(web_dir, title=title, options=options, image_width=image_width)
        self._background = background
        self._update_freq = update_freq
        self._clock = clock
        self._written_epoch, self._written_images = clock.epoch, clock.images
        if resume:
            self._page.forget_after(clock)
        self._shown_epoch = clock.epoch if self._page.shows(clock.epoch) else 0
        self._write(clock, REFRESH_S)

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        self._history.add(clock.images, values)
        self.step(clock)

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        panels = {label: sheet(to_uint8(image)) for label, image in images.items()}
        self._background.do("page", partial(self._page.save_images, clock.epoch, panels))
        if clock.epoch != self._shown_epoch:
            self._shown_epoch = clock.epoch
            self._write(clock, REFRESH_S)
        self.step(clock)

    def step(self, clock: Clock) -> None:
        self._clock = clock
        # not clock.due(): values and images come at other moments than the page's turn
        turn = clock.images // self._update_freq > self._written_images // self._update_freq
        if turn or clock.epoch != self._written_epoch:
            self._write(clock, REFRESH_S)

    def close(self) -> None:
        self._write(self._clock, refresh=0)
        self._background.wait("page")

    def _write(self, clock: Clock, refresh: int) -> None:
        self._written_epoch, self._written_images = clock.epoch, clock.images
        now = time.strftime("%Y-%m-%d %H:%M")
        reached = clock.epoch if clock.epoch_images else clock.epoch - 1
        subtitle = f"epoch {reached} · {clock.images:,} images seen · written {now}"
        # drawn here: the history goes on
        charts = loss_curves(self._history.series)
        write = partial(self._page.write, subtitle=subtitle, charts=charts, refresh=refresh)
        self._background.do("page", write)
