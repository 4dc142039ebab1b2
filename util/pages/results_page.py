"""The results of a test: every picture under its input's name, and pages that show them."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from torch import Tensor

from util.errors import UserError
from util.imaging.images import save_image, sheet, to_uint8
from util.pages.html import HTML, rows

ROWS_PER_PAGE = 200


class ResultsPage:
    """`folder`/images/<stem>_<label>.png and `folder`/index.html, page_002.html, ...

    Inputs in sub-folders of their root keep them. Where two inputs would write the same file (x.png and
    x.jpg), the later one is named x_2. `save_only` names the labels to keep; empty keeps all.
    """

    def __init__(
        self,
        folder: str | Path,
        title: str,
        image_width: int = 256,
        *,
        aspect_ratio: float = 1.0,
        save_only: Sequence[str] = (),
    ) -> None:
        self.folder = Path(folder)
        self.title = title
        self.image_width = image_width
        self.aspect_ratio = aspect_ratio
        self.save_only = tuple(save_only)
        self._used: set[str] = set()
        self._rows: list[tuple[str, list[str], list[str]]] = []  # caption, labels, files

    def add(self, path: str, root: str | None, visuals: Mapping[str, Tensor], caption: str = "") -> None:
        """Save the visuals of one input: label -> (1, C, H, W) or (C, H, W) in [-1, 1].

        Raises UserError where `save_only` names an unknown label, RunFault where a file cannot be written.
        """
        labels = self._labels(visuals)
        stem = self._free_stem(_stem_below(path, root), labels)
        files = [f"{stem}_{label}.png" for label in labels]
        for label, file in zip(labels, files, strict=True):
            image = visuals[label]
            picture = sheet(to_uint8(image if image.ndim == 4 else image[None]))
            save_image(picture, self.folder / "images" / file, self.aspect_ratio)
        self._rows.append((caption or str(stem), labels, files))

    def _labels(self, visuals: Mapping[str, Tensor]) -> list[str]:
        unknown = [label for label in self.save_only if label not in visuals]
        if unknown:
            known = ", ".join(visuals)
            raise UserError(f"--save_only {unknown[0]}: the model shows no such image; it shows {known}")
        return [label for label in visuals if not self.save_only or label in self.save_only]

    def _free_stem(self, stem: PurePosixPath, labels: Sequence[str]) -> PurePosixPath:
        number, free = 1, stem
        # folded, because some file systems hold X.png and x.png to be one
        while self._used & {f"{free}_{label}".casefold() for label in labels}:
            number += 1
            free = stem.with_name(f"{stem.name}_{number}")
        self._used |= {f"{free}_{label}".casefold() for label in labels}
        return free

    def save(self) -> None:
        """Write the pages. UserError where dominate is missing, RunFault where a file cannot be written."""
        count = max(1, -(-len(self._rows) // ROWS_PER_PAGE))
        for number in range(1, count + 1):
            self._write_page(number, count)
        number = count + 1
        while (stale := self.folder / _page(number)).exists():
            stale.unlink()
            number += 1

    def _write_page(self, number: int, count: int) -> None:
        page = HTML(self.folder, self.title)
        start = (number - 1) * ROWS_PER_PAGE
        part = self._rows[start : start + ROWS_PER_PAGE]
        total = len(self._rows)
        shown = f"{start + 1} to {start + len(part)} of {total} images" if count > 1 else f"{total} images"
        page.add_subtitle("1 image" if total == 1 else shown)
        links = [("previous", _page(number - 1))] if number > 1 else []
        links += [("next", _page(number + 1))] if number < count else []
        if links:
            page.add_links(links)
        page.lay_side_by_side()
        for caption, labels, files in part:
            page.add_header(caption)
            file_of = dict(zip(labels, files, strict=True))
            for row in rows(labels):
                names = [file_of[label] for label in row]
                page.add_images(names, row, names, width=self.image_width)
        page.save(_page(number))


def _stem_below(path: str, root: str | None) -> PurePosixPath:
    """`root`/a/b.png -> a/b; a path outside its root gives its bare stem."""
    file = Path(path)
    below = file.relative_to(root) if root is not None and file.is_relative_to(root) else Path(file.name)
    return PurePosixPath(*below.parts[:-1], below.stem)


def _page(number: int) -> str:
    return "index.html" if number == 1 else f"page_{number:03d}.html"
