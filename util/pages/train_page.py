"""The training page: the newest epochs with their panels, the loss curves and the options of a run."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from util.clock import Clock
from util.imaging.images import save_image
from util.pages.html import HTML, rows

PER_PAGE = 20  # epochs on a page; the index holds from this many up to twice as many less one
REFRESH_S = 60
_EPOCH_FILE = re.compile(r"epoch(\d{3,})_(.+)\.png")
_CAPTION = re.compile(r"<figcaption>([^<]+)</figcaption>")
_UNFIT = re.compile(r'[\\/:*?"<>|]')  # letters that some file system does not take


class TrainPage:
    """`web_dir`/index.html over `web_dir`/images/epoch%03d_<label>.png.

    What the folder holds is what the pages show, so a resumed run finds its earlier epochs again. Full
    pages of older epochs are written when they fill up and once more when the next one needs a link.
    """

    def __init__(self, web_dir: Path, *, title: str, options: Mapping[str, object], image_width: int) -> None:
        self.web_dir = web_dir
        self.title = title
        self.options = options
        self.image_width = image_width
        self._epochs = self._on_disk()
        self._sections: dict[int, str] = {}  # epoch -> its part of a page, as long as it holds
        self._pages_written = sum(1 for _ in web_dir.glob("page_*.html"))

    def _on_disk(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for path in sorted(self.web_dir.glob("images/epoch*.png")):
            if match := _EPOCH_FILE.fullmatch(path.name):
                found.setdefault(int(match[1]), []).append(match[2])
        order = self._known_order()
        for labels in found.values():
            labels.sort(key=lambda label: order.index(label) if label in order else len(order))
        return found

    def _known_order(self) -> list[str]:
        """The labels as the page written before has them: file names alone have lost their order."""
        index = self.web_dir / "index.html"
        if not index.is_file():
            return []
        captions = _CAPTION.findall(index.read_text(encoding="utf-8", errors="replace"))
        return list(dict.fromkeys(html.unescape(caption) for caption in captions))

    def forget_after(self, clock: Clock) -> None:
        """Delete the pictures of epochs that a resumed run has not reached."""
        reached = clock.epoch if clock.epoch_images else clock.epoch - 1
        for epoch in [epoch for epoch in self._epochs if epoch > reached]:
            self._sections.pop(epoch, None)
            for label in self._epochs.pop(epoch):
                (self.web_dir / "images" / _file(epoch, label)).unlink(missing_ok=True)

    def shows(self, epoch: int) -> bool:
        """Whether there are pictures of this epoch."""
        return epoch in self._epochs

    def save_images(self, epoch: int, images: Mapping[str, np.ndarray]) -> None:
        """Write label -> (H, W, C) uint8 over what this epoch has shown before."""
        labels = self._epochs.setdefault(epoch, [])
        self._sections.pop(epoch, None)
        for label, image in images.items():
            label = _UNFIT.sub("_", label)
            save_image(image, self.web_dir / "images" / _file(epoch, label))
            if label not in labels:
                labels.append(label)

    def write(self, *, subtitle: str, charts: str, refresh: int) -> None:
        """Write the index, and the pages of older epochs that are not written yet."""
        epochs = sorted(self._epochs)
        full = max(0, len(epochs) // PER_PAGE - 1)
        if full != self._pages_written:
            self._drop_pages_after(full)
            for number in range(max(1, min(full, self._pages_written)), full + 1):
                self._write_page(number, full, epochs[(number - 1) * PER_PAGE : number * PER_PAGE])
            self._pages_written = full
        self._write_index(epochs[full * PER_PAGE :], full, subtitle, charts, refresh)

    def _drop_pages_after(self, full: int) -> None:
        number = full + 1
        while (stale := self.web_dir / _page(number)).exists():
            stale.unlink()
            number += 1

    def _write_index(
        self, epochs: Sequence[int], full: int, subtitle: str, charts: str, refresh: int
    ) -> None:
        page = HTML(self.web_dir, self.title, refresh)
        page.add_subtitle(subtitle)
        newest = epochs[-1:]
        self._add_epochs(page, newest)
        if charts:
            page.add_header("Losses")
            page.add_curves(charts)
        self._add_epochs(page, epochs[:-1])
        if full:
            page.add_links([("older epochs", _page(full))])
        page.add_table("Options", self.options)
        page.save()
        self._sections = {epoch: self._sections[epoch] for epoch in epochs}

    def _write_page(self, number: int, full: int, epochs: Sequence[int]) -> None:
        page = HTML(self.web_dir, self.title)
        page.add_subtitle(f"epochs {epochs[0]} to {epochs[-1]}")
        links = [("newest", "index.html")]
        if number < full:
            links.append(("newer epochs", _page(number + 1)))
        if number > 1:
            links.append(("older epochs", _page(number - 1)))
        page.add_links(links)
        self._add_epochs(page, epochs)
        page.add_links(links)
        page.save(_page(number))

    def _add_epochs(self, page: HTML, epochs: Sequence[int]) -> None:
        for epoch in reversed(epochs):
            if epoch not in self._sections:
                self._sections[epoch] = self._section(page, epoch)
            page.add_section(self._sections[epoch])

    def _section(self, page: HTML, epoch: int) -> str:
        page.add_header(f"Epoch {epoch}")
        for labels in rows(self._epochs[epoch]):
            files = [_file(epoch, label) for label in labels]
            page.add_images(files, labels, files, width=self.image_width)
        return page.take_section()


def _file(epoch: int, label: str) -> str:
    return f"epoch{epoch:03d}_{label}.png"


def _page(number: int) -> str:
    return f"page_{number:03d}.html"
