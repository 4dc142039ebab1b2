"""Links between the pages of a run: its training page and its results."""

import errno
import html
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from util.errors import RunFault
from util.files import open_regular, write_atomically

Link = tuple[str, str]  # text, address relative to the page
LARGEST_PAGE = 1 << 26  # bytes; a page has about 100,000
_RESULT = re.compile(r'<a class="results" href="([^"]*)">([^<]*)</a>')


def address(folder: Path, page: Path) -> str:
    """The address of a page for the pages in `folder`."""
    return quote(Path(os.path.relpath(page, folder)).as_posix(), errors="surrogateescape")


def links_of_results(folder: Path, name: str, run_folder: Path) -> list[Link]:
    """The training page of the run, and the other results beside `folder`/`name`; `folder` holds results folders."""
    pages = [("Training", run_folder / "web" / "index.html")]
    pages += sorted((page.parent.name, page) for page in folder.glob("*/index.html"))
    others = [(text, page) for text, page in pages if page.parent.name != name and page.exists()]
    return [(text, address(folder / name, page)) for text, page in others if not text.endswith("_unfinished")]


def results_on(index: Path) -> list[Link]:
    """The links to results on a training page that lead to an existing page."""
    try:
        found = _RESULT.findall(_read(index))
    except OSError:
        return []
    return [
        # quoted, an address cannot begin with javascript: or another scheme
        (html.unescape(text), quote(path, errors="surrogateescape"))
        for target, text in found
        if Path(
            os.path.normpath(
                index.parent / (path := unquote(html.unescape(target), errors="surrogateescape"))
            )
        ).exists()
    ]


def add_to_training_page(run_folder: Path, results: Path) -> None:
    """Link the training page, if there is one and it can be written, to the page in the folder `results`."""
    index = run_folder / "web" / "index.html"
    link = (results.name, address(index.parent, results / "index.html"))
    if run_folder.resolve() not in index.resolve().parents:  # a link in a run from somebody else
        return
    if not index.is_file() or link in (present := results_on(index)):
        return
    with suppress(OSError, RunFault):  # a run on a read-only disk
        text = _RESULT.sub("", _read(index))
        text = text.replace("</nav>", f"{as_html([*present, link])}</nav>", 1)
        write_atomically(index, text.encode(errors="surrogateescape"))


def _read(page: Path) -> str:
    """The text of a page; raises OSError for what is no file, or too large for a page."""
    with open_regular(page) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_PAGE:
            raise OSError(errno.EFBIG, f"it is larger than {LARGEST_PAGE} bytes")
        return file.read().decode(errors="surrogateescape")


def as_html(links: Sequence[Link]) -> str:
    """The links to results as results_on() finds them again."""
    escaped = [(html.escape(target), html.escape(text)) for text, target in links]
    return "".join(f'<a class="results" href="{target}">{text}</a>' for target, text in escaped)
