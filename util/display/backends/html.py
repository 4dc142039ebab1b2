"""The training page in checkpoints/<name>/web, updated during the run."""

import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from util import log
from util.clock import Clock
from util.display.backends.base import Backend
from util.files import set_aside
from util.imaging.images import sheet, to_uint8
from util.pages.html import gammas
from util.pages.loss_curves import loss_curves
from util.pages.loss_history import History
from util.pages.train_page import REFRESH_S, TrainPage
from util.run.lifecycle import Run

# Heading -> function that returns the HTML of a panel; a panel with empty HTML is left out (docs/pages.md).
PANELS: dict[str, Callable[[History, Clock, Namespace], str]] = {
    "Losses": lambda history, clock, opt: loss_curves(history.series)
}


class HtmlBackend(Backend):
    """Saves all images, and writes the page every --update_html_freq images and in each new epoch.

    A resumed run deletes the images of later epochs; a new run renames the web folder of an earlier run. Files are
    written in the background.
    """

    def __init__(self, opt: Namespace, run: Run, images_per_epoch: int) -> None:
        web_dir = run.model.save_dir / "web"
        if not run.resumed:
            set_aside(web_dir)
        self._opt, self._clock, self._background = opt, run.clock, run.background
        self.history = History.of_run(run)
        self._page = TrainPage(web_dir, title=opt.name, options=vars(opt), image_width=opt.display_winsize)
        self._page.remove_after(run.clock)
        self._failed: set[str] = set()  # headings of panels that are left out
        self._image_epoch = 0  # the last epoch whose images were shown
        self._write(run.clock)

    def scalars(self, values: Mapping[str, float], clock: Clock) -> None:
        self.history.add(clock.images, values)
        self.step(clock)

    def images(self, images: Mapping[str, Tensor], clock: Clock) -> None:
        pictures = {label: sheet(to_uint8(image)) for label, image in images.items()}
        # the maps do not show how much attention changes an image
        note = gammas({name: series.last for name, series in self.history.series.items()})
        has_maps = any(label.startswith("attn") for label in images)
        save = partial(self._page.save_images, clock.epoch, pictures, note if has_maps else "")
        self._background.do("page", save)
        if clock.epoch != self._image_epoch:  # show the first images of an epoch at once
            self._image_epoch = clock.epoch
            self._write(clock)
        self.step(clock)

    def step(self, clock: Clock) -> None:
        freq = self._opt.update_html_freq
        # not clock.due(), because several calls in a step must write the page once
        if clock.images // freq > self._written_images // freq or clock.epoch != self._written_epoch:
            self._write(clock)

    def close(self) -> None:
        self._write(self._clock, refresh=0)
        self._background.wait("page")

    def _write(self, clock: Clock, refresh: int = REFRESH_S) -> None:
        self._written_epoch, self._written_images = clock.epoch, clock.images
        written = time.strftime("%Y-%m-%d %H:%M")
        subtitle = f"epoch {clock.epochs_begun} · {clock.images:,} images seen · written {written}"
        # not in the background, where the history could change meanwhile
        panels = {heading: self._draw(heading, clock) for heading in PANELS}
        write = partial(self._page.write, subtitle=subtitle, panels=panels, refresh=refresh)
        self._background.do("page", write)

    def _draw(self, heading: str, clock: Clock) -> str:
        """The HTML of a panel; a panel that raises an error is left out from then on."""
        if heading in self._failed:
            return ""
        try:
            return PANELS[heading](self.history, clock, self._opt)
        except Exception as error:
            self._failed.add(heading)
            log.warn(f"the panel {heading} failed and is left out: {type(error).__name__}: {error}")
            return ""
