"""The training page: the newest epochs with their images, panels such as the loss curves, and the options."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from util.clock import Clock
from util.files import write_atomically
from util.imaging.fixed_inputs import FIXED
from util.imaging.images import save_image
from util.pages.html import HTML, delete_pages, page_file, rows
from util.pages.links import results_on

PER_PAGE = 20  # epochs on a page of older ones; the index holds at most twice as many
REFRESH_S = 60
NOTES = "notes.json"  # epoch -> note, for resumed runs
_IMAGE_FILE = re.compile(r"epoch(\d{3,})_(.+)\.png")
_CAPTION = re.compile(r"<figcaption>([^<]+)</figcaption>")
_FORBIDDEN = re.compile(r'[\\/:*?"<>|]')  # in file names of some file systems


class TrainPage:
    """Writes `web_dir`/index.html, which shows `web_dir`/images/epoch%03d_<label>.png.

    The images of earlier epochs are found in the folder, so a resumed run shows them. A page of older epochs is
    written when it is full, and once more to link to the next one.
    """

    def __init__(self, web_dir: Path, *, title: str, options: Mapping[str, object], image_width: int) -> None:
        self.web_dir = web_dir
        self.title = title
        self.options = options
        self.image_width = image_width
        self._epochs = self._find_images()
        self._sections: dict[int, str] = {}  # epoch -> its HTML, which is slow to make
        self._pages_written = len(list(web_dir.glob("page_*.html")))
        self._notes = self._read_notes()

    def _find_images(self) -> dict[int, list[str]]:
        """Epoch -> labels of the images in the folder."""
        index = self.web_dir / "index.html"  # contains the labels in the order of the model
        text = index.read_text(encoding="utf-8", errors="replace") if index.is_file() else ""
        order = [html.unescape(caption) for caption in _CAPTION.findall(text)]
        names = sorted(path.name for path in self.web_dir.glob("images/epoch*.png"))
        images = [(match[2], int(match[1])) for match in map(_IMAGE_FILE.fullmatch, names) if match]

        def place(image: tuple[str, int]) -> tuple[bool, int]:
            label = image[0].removeprefix(FIXED)
            return label != image[0], [*order, label].index(label)

        found: dict[int, list[str]] = {}
        for label, epoch in sorted(images, key=place):
            found.setdefault(epoch, []).append(label)
        return found

    def remove_after(self, clock: Clock) -> None:
        """Delete the images of epochs that a resumed run has not reached."""
        for epoch in [epoch for epoch in self._epochs if epoch > clock.epochs_begun]:
            self._sections.pop(epoch, None)
            for label in self._epochs.pop(epoch):
                (self.web_dir / "images" / _image_file(epoch, label)).unlink(missing_ok=True)

    def _read_notes(self) -> dict[int, str]:
        """Epoch -> note; empty if the file is missing or damaged."""
        try:
            notes = json.loads((self.web_dir / NOTES).read_text(encoding="utf-8"))
            return {int(epoch): str(note) for epoch, note in notes.items()}
        except (OSError, ValueError, AttributeError, RecursionError):
            return {}

    def save_images(self, epoch: int, images: Mapping[str, np.ndarray], note: str = "") -> None:
        """Write label -> (H, W, C) uint8, and a note; later images of an epoch replace the earlier ones."""
        if note != self._notes.get(epoch, ""):
            self._notes[epoch] = note
            write_atomically(self.web_dir / NOTES, json.dumps(self._notes).encode())
        labels = self._epochs.setdefault(epoch, [])
        self._sections.pop(epoch, None)
        for label, image in images.items():
            label = _FORBIDDEN.sub("_", label)
            save_image(image, self.web_dir / "images" / _image_file(epoch, label))
            if label not in labels:
                labels.append(label)

    def write(self, *, subtitle: str, panels: Mapping[str, str], refresh: int) -> None:
        """Write the index, with `panels` (heading -> HTML), and the pages of older epochs that have changed."""
        epochs = sorted(self._epochs)
        full = max(0, len(epochs) // PER_PAGE - 1)
        if full != self._pages_written:
            delete_pages(self.web_dir, full + 1)
            for number in range(max(1, min(full, self._pages_written)), full + 1):
                self._write_page(number, full, epochs[(number - 1) * PER_PAGE : number * PER_PAGE])
            self._pages_written = full
        newest = epochs[full * PER_PAGE :]
        page = HTML(self.web_dir, self.title, refresh)
        page.add_subtitle(subtitle)
        page.explain_attention(label for epoch in newest for label in self._epochs[epoch])
        page.add_links(
            [("older epochs", page_file(full))] * bool(full), results_on(self.web_dir / "index.html")
        )
        self._add_epochs(page, newest[-1:])
        for heading, content in panels.items():
            if content:
                page.add_panel(heading, content)
        self._add_epochs(page, newest[:-1])
        page.add_table("Options", self.options)
        page.save()
        self._sections = {epoch: self._sections[epoch] for epoch in newest}

    def _write_page(self, number: int, full: int, epochs: Sequence[int]) -> None:
        page = HTML(self.web_dir, self.title)
        page.add_subtitle(f"epochs {epochs[0]} to {epochs[-1]}")
        page.explain_attention(label for epoch in epochs for label in self._epochs[epoch])
        neighbours = (("newer epochs", number + 1), ("older epochs", number - 1))
        links = [(text, page_file(other)) for text, other in neighbours if 1 <= other <= full]
        links.insert(0, ("newest", "index.html"))
        page.add_links(links)
        self._add_epochs(page, epochs)
        page.save(page_file(number))

    def _add_epochs(self, page: HTML, epochs: Sequence[int]) -> None:
        for epoch in reversed(epochs):
            if epoch not in self._sections:
                page.add_header(f"Epoch {epoch}")
                self._add_images(page, epoch, "")
                if any(label.startswith(FIXED) for label in self._epochs[epoch]):
                    page.add_subheader("The same images in every epoch")
                    self._add_images(page, epoch, FIXED)
                if note := self._notes.get(epoch):
                    page.add_note(note)
                self._sections[epoch] = page.pop_section()
            page.add_section(self._sections[epoch])

    def _add_images(self, page: HTML, epoch: int, kind: str) -> None:
        """Add the rows of images of the current batch (`kind` is empty) or of the fixed inputs (FIXED)."""
        is_fixed = kind == FIXED
        labels = [label for label in self._epochs[epoch] if label.startswith(FIXED) == is_fixed]
        for row in rows(label.removeprefix(kind) for label in labels):
            files = {label: _image_file(epoch, kind + label) for label in row}
            page.add_images(files, self.image_width)


def _image_file(epoch: int, label: str) -> str:
    return f"epoch{epoch:03d}_{label}.png"
