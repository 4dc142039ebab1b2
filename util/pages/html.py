"""A web page with rows of pictures, built with dominate; it opens from the disk and fetches nothing."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from util.errors import UserError
from util.files import make_folder, write_whole
from util.imaging.images import image_size
from util.pages.page_style import STYLE

WIDEST = 2  # large and wide pictures are shown up to this many times the page's image width


def require_dominate() -> None:
    """UserError where the package that builds the pages is not installed."""
    try:
        importlib.import_module("dominate")
    except ImportError as error:
        message = "HTML pages need the package dominate: pip install dominate, or pass --no_html"
        raise UserError(message) from error


def url(path: str) -> str:
    """A relative path, with forward slashes, as a link: `#`, `?`, `%`, blanks and other letters are quoted."""
    return quote(path, errors="surrogateescape")


def rows(labels: Iterable[str], most: int = 6) -> list[list[str]]:
    """Labels in rows as a person compares them: one row from each real image on, attention on its own.

    real_A fake_B rec_A | real_B fake_A rec_B | attn_A attn_B; pix2pix's real_A fake_B real_B stays one.
    """
    result: list[list[str]] = []
    for label in labels:
        row = result[-1] if result else []
        attention = label.startswith("attn")
        next_real = label.startswith("real") and len(row) >= 3
        if not row or next_real or len(row) == most or attention != row[0].startswith("attn"):
            result.append([label])
        else:
            row.append(label)
    return result


class HTML:
    """One page in `web_dir`, with its pictures in `web_dir`/images.

    `add_header` opens a section; pictures, curves and tables that follow go into it. A `refresh` in
    seconds makes the browser load the page again, 0 leaves it alone.

    Raises UserError where dominate is missing, RunFault where the folder cannot be made.
    """

    def __init__(self, web_dir: str | Path, title: str, refresh: int = 0) -> None:
        require_dominate()
        self._tags: Any = importlib.import_module("dominate.tags")
        self._raw: Any = importlib.import_module("dominate.util").raw
        self.web_dir = Path(web_dir)
        self.img_dir = make_folder(self.web_dir / "images")
        self.doc: Any = importlib.import_module("dominate").document(title=title)
        self.doc["lang"] = "en"
        self._head(refresh)
        self._banner = self.doc.body.add(self._tags.header(self._tags.h1(title)))
        self._main = self.doc.body.add(self._tags.main())
        self._section: Any = None

    def _head(self, refresh: int) -> None:
        head, meta = self.doc.head, self._tags.meta
        head.add(meta(charset="utf-8"))
        head.add(meta(name="viewport", content="width=device-width, initial-scale=1"))
        if refresh > 0:
            head.add(meta(http_equiv="refresh", content=str(refresh)))
        head.add(self._tags.style(self._raw(STYLE)))

    def add_subtitle(self, text: str) -> None:
        self._banner.add(self._tags.p(text))

    def add_links(self, links: Sequence[tuple[str, str]]) -> None:
        """A line of (text, file in web_dir), at this place of the page."""
        nav = self._tags.nav()
        for text, target in links:
            nav.add(self._tags.a(text, href=url(target)))
        self._main.add(nav)

    def lay_side_by_side(self) -> None:
        """From here on, sections stand beside each other where they fit."""
        self._main = self._main.add(self._tags.div(cls="cards"))

    def add_header(self, text: str) -> None:
        """Open a section under this heading."""
        self._section = self._main.add(self._tags.section(self._tags.h3(text)))

    def take_section(self) -> str:
        """The section that is open, taken off the page, for add_section() of this page or a later one."""
        self._main.remove(self._section)
        return self._section.render()

    def add_section(self, section: str) -> None:
        """A section as take_section() gave it."""
        self._main.add(self._raw(section))

    def add_images(
        self, ims: Sequence[str], txts: Sequence[str], links: Sequence[str], width: int = 400
    ) -> None:
        """One row of pictures: file names within images/, captions, files within images/ to open on a click.

        A picture that is not there is left out. `width` in pixels; a large or wide picture takes up to twice it.
        """
        assert self._section is not None, "add_header comes first"
        row = self._tags.div(cls="row")
        for name, text, link in zip(ims, txts, links, strict=True):
            size = image_size(self.img_dir / name)
            if size is not None:
                row.add(self._figure(name, text, link, size, width))
        if len(row):
            self._section.add(row)

    def add_picture(self, name: str, text: str) -> None:
        """A picture within images/ in its own size, or as wide as the page; a click opens the file."""
        size = image_size(self.img_dir / name)
        assert self._section is not None and size is not None, name
        self._section.add(self._tags.div(self._framed(name, text, name, size, size[0]), cls="row"))

    def _figure(self, name: str, text: str, link: str, size: tuple[int, int], width: int) -> Any:
        as_high_as_square = width * size[0] // size[1]
        shown = max(width, min(max(size[0], as_high_as_square), WIDEST * width))
        return self._framed(name, text, link, size, shown)

    def _framed(self, name: str, text: str, link: str, size: tuple[int, int], shown: int) -> Any:
        tags = self._tags
        picture = tags.img(
            src=url(f"images/{name}"), width=size[0], height=size[1], loading="lazy", alt=text, title=text
        )
        figure = tags.figure(style=f"flex:0 1 {shown}px")
        figure.add(tags.a(picture, href=url(f"images/{link}")))
        figure.add(tags.figcaption(text))
        return figure

    def add_curves(self, charts: str) -> None:
        """Ready HTML of util.curves, in a grid."""
        self._section.add(self._tags.div(self._raw(charts), cls="charts"))

    def add_table(self, title: str, rows: Mapping[str, object]) -> None:
        """A folded-up section of names and values."""
        tags = self._tags
        table = tags.dl()
        for name, value in rows.items():
            table.add(tags.div(tags.dt(name), tags.dd(str(value))))
        self._main.add(tags.section(tags.details(tags.summary(title), table)))

    def save(self, name: str = "index.html") -> None:
        """Write the page, whole or not at all; RunFault where that fails."""
        write_whole(self.web_dir / name, self.doc.render().encode("utf-8", errors="replace"))
