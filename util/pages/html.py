"""A web page with rows of images, built with dominate; it needs neither a server nor the internet."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dominate
from dominate import tags
from dominate.util import raw

from util.files import make_folder, write_atomically
from util.imaging.images import image_size
from util.pages.links import Link, as_html
from util.pages.page_style import STYLE

# images are shown up to this many times the page's image width
MAX_LARGE, MAX_WIDE = 2, 4  # large files; wide pictures, which consist of several images
# of pages with attention maps; the colours are those of attention_overlay.py
ATTENTION = """Attention maps: <i class="ramp"></i> from the least to the most attention that the network pays from the position of the
<b class="point"></b> green square. Each map is stretched to its own range: compare where it is bright, not how bright two
maps are. gamma is the weight of attention in the network: near 0 the map hardly changes the image."""


def page_file(number: int) -> str:
    """The file name of an additional page."""
    return f"page_{number:03d}.html"


def delete_pages(folder: Path, first: int) -> None:
    """Delete the additional pages from number `first` on."""
    while (page := folder / page_file(first)).exists():
        page.unlink()
        first += 1


def rows(labels: Iterable[str], max_length: int = 6) -> list[list[str]]:
    """Arrange labels in rows: real_A fake_B rec_A | real_B fake_A rec_B | attn_A attn_B.

    Attention has rows of its own. A real image starts a row unless the row before it is short, as in pix2pix:
    real_A fake_B real_B.
    """
    result: list[list[str]] = []
    for label in labels:
        row = result[-1] if result else []
        attention = label.startswith("attn")
        next_real = label.startswith("real") and len(row) >= 3
        if not row or next_real or len(row) == max_length or attention != row[0].startswith("attn"):
            result.append([label])
        else:
            row.append(label)
    return result


def gammas(values: Mapping[str, Any]) -> str:
    """The weights of attention among named numbers: `gamma_G_A_trunk 0.0058, ...`; empty without attention."""
    return ", ".join(
        f"{name} {float(value):.3g}" for name, value in values.items() if name.startswith("gamma")
    )


class HTML:
    """One page in `web_dir`, with its images in `web_dir`/images.

    `add_header` opens a section, to which images are added. With `refresh` > 0 the browser reloads the
    page every `refresh` seconds. Raises RunFault if the folder cannot be created.
    """

    def __init__(self, web_dir: str | Path, title: str, refresh: int = 0) -> None:
        self.web_dir = Path(web_dir)
        self.img_dir = make_folder(self.web_dir / "images")
        self.doc = dominate.document(title=title)
        self.doc["lang"] = "en"
        self.doc.head.add(tags.meta(charset="utf-8"))
        self.doc.head.add(tags.meta(name="viewport", content="width=device-width, initial-scale=1"))
        if refresh > 0:
            self.doc.head.add(tags.meta(http_equiv="refresh", content=str(refresh)))
        self.doc.head.add(tags.style(raw(STYLE)))
        self._banner = self.doc.body.add(tags.header(tags.h1(title)))
        self._nav = self.doc.body.add(tags.nav())
        self._main = self._end = self.doc.body.add(tags.main())
        self._section: Any = None
        self._heading = ""

    def add_subtitle(self, text: str) -> None:
        self._banner.add(tags.p(text) if text else "")

    def add_links(self, links: Sequence[Link], results: Sequence[Link] = ()) -> None:
        """Add links to the bar at the top of the page, which stays visible; `results` are links to results."""
        self._nav.add(*(tags.a(text, href=target) for text, target in links))
        self._nav.add(raw(as_html(results)))

    def explain_attention(self, labels: Iterable[str], gammas: str = "") -> None:
        """Say what attention maps show, if there is one among the images with these labels."""
        if any(label.startswith("attn") for label in labels):
            end = f" {html.escape(gammas)}" if gammas else ""
            self._banner.add(tags.p(raw(ATTENTION + end), cls="legend"))

    def lay_side_by_side(self) -> None:
        """Place the sections that follow side by side where they fit."""
        self._main = self._main.add(tags.div(cls="cards"))

    def add_header(self, text: str) -> None:
        """Open a section with this heading."""
        self._heading = text
        self._section = self._main.add(tags.section(tags.h2(text)))

    def add_subheader(self, text: str) -> None:
        """Add a heading within the open section."""
        self._section.add(tags.h3(text))

    def add_note(self, text: str) -> None:
        """Add a line of small text to the open section."""
        self._section.add(tags.p(text, cls="note"))

    def pop_section(self) -> str:
        """Remove the open section from the page, and return its HTML for add_section()."""
        self._main.remove(self._section)
        return self._section.render()

    def add_section(self, section: str) -> None:
        """Add the HTML of a section."""
        self._main.add(raw(section))

    def add_panel(self, heading: str, content: str) -> None:
        """Add a section with HTML, and a link to it."""
        self._main.add(tags.section(tags.h2(heading), raw(content), id=self._anchor(heading)))

    def _anchor(self, heading: str) -> str:
        """The id of a section, to which the bar at the top links."""
        anchor = re.sub(r"\W+", "-", heading.lower())
        self._nav.add(tags.a(heading, href=f"#{quote(anchor)}"))
        return anchor

    def add_images(self, files: Mapping[str, str], width: int | None = None) -> None:
        """Add a row of images, caption -> file name in images/; a click opens the file.

        Missing files are left out. Images are `width` pixels wide (large ones up to twice and wide ones up to four
        times as wide), by default as wide as the file.
        """
        row = tags.div(cls="row")
        for text, name in files.items():
            size = image_size(self.img_dir / name)
            if size is not None:
                shown = size[0] if width is None else _shown_width(size, width)
                row.add(_figure(name, text, f"{text}, {self._heading}", size, shown))
        if len(row):
            self._section.add(row)

    def add_table(self, title: str, rows: Mapping[str, object]) -> None:
        """Add a collapsed table of names and values, if there are any, to the end of the page, and a link to it."""
        if not rows:
            return
        table = tags.dl(*(tags.div(tags.dt(name), tags.dd(str(value))) for name, value in rows.items()))
        heading = tags.summary(tags.h2(title))
        self._end.add(tags.section(tags.details(heading, table), id=self._anchor(title)))

    def save(self, name: str = "index.html") -> None:
        """Write the page atomically. Raises RunFault if that fails."""
        write_atomically(self.web_dir / name, self.doc.render().encode("utf-8", errors="replace"))


def _shown_width(size: tuple[int, int], width: int) -> int:
    large, wide = min(size[0], MAX_LARGE * width), min(width * size[0] // size[1], MAX_WIDE * width)
    return max(width, large, wide)


def _figure(name: str, text: str, description: str, size: tuple[int, int], shown_width: int) -> Any:
    source, (width, height) = quote(f"images/{name}", errors="surrogateescape"), size
    picture = tags.img(src=source, width=width, height=height, loading="lazy", alt=description)
    if shown_width >= 2 * width:
        picture["class"] = "enlarged"  # without smoothing, which could be mistaken for the network's
    style = f"width:{shown_width}px"
    kind = "wide" if width >= 3 * height else "image"
    return tags.figure(tags.a(picture, href=source), tags.figcaption(text), style=style, cls=kind)
