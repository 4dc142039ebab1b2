"""The results of a test: every image under the name of its input, and pages that show them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from util.errors import RunFault, UserError
from util.imaging.images import save_image, sheet, to_uint8
from util.pages.html import HTML, delete_pages, page_file, rows
from util.pages.links import Link

ROWS_PER_PAGE = 200
LONGEST_NAME = (
    230  # bytes of a stem and a label; file systems allow 255, and a number and an ending are added
)


@dataclass
class ResultsPage:
    """Writes `folder`/images/<stem>_<label>.png and `folder`/index.html, page_002.html, ...

    Sub-folders of the inputs are kept. If two inputs have the same stem (x.png and x.jpg), the second one is
    named x_2. `save_only` lists the labels to save; by default all are saved.
    """

    folder: Path
    title: str
    subtitle: str = ""
    image_width: int = 256
    aspect_ratio: float = 1.0
    save_only: Sequence[str] = ()
    links: Sequence[Link] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    gammas: str = ""  # the weights of attention in the network
    _used: set[str] = field(default_factory=set)
    _results: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # caption, label -> file

    def add(self, path: str, root: str | None, visuals: Mapping[str, Tensor]) -> None:
        """Save the images made from the file `path`: label -> (1, C, H, W) or (C, H, W) in [-1, 1].

        Raises UserError if `save_only` names an unknown label, RunFault if a file cannot be written.
        """
        if wrong := [label for label in self.save_only if label not in visuals]:
            raise UserError(
                f"--save_only {wrong[0]}: the model has no such image; choose from {', '.join(visuals)}"
            )
        labels = [label for label in visuals if label in (self.save_only or visuals)]
        longest = LONGEST_NAME - max(len(os.fsencode(label)) for label in labels)
        stem = self._unused_stem(_relative_stem(path, root, longest), labels)
        files = {label: f"{stem}_{label}.png" for label in labels}
        for label, file in files.items():
            image = visuals[label]
            picture = sheet(finite_uint8(image if image.ndim == 4 else image[None], f"{label} of {path}"))
            save_image(picture, self.folder / "images" / file, self.aspect_ratio)
        self._results.append((str(stem), files))

    def _unused_stem(self, stem: PurePosixPath, labels: Sequence[str]) -> PurePosixPath:
        number, unused = 1, stem
        # lower case, because X.png and x.png are the same file on some file systems
        while self._used & {f"{unused}_{label}".casefold() for label in labels}:
            number += 1
            unused = stem.with_name(f"{stem.name}_{number}")
        self._used |= {f"{unused}_{label}".casefold() for label in labels}
        return unused

    def save(self) -> None:
        """Write the pages. Raises RunFault if a file cannot be written."""
        count = max(1, -(-len(self._results) // ROWS_PER_PAGE))
        for number in range(1, count + 1):
            self._write_page(number, count)
        delete_pages(self.folder, count + 1)

    def _write_page(self, number: int, count: int) -> None:
        page = HTML(self.folder, self.title)
        start, total = (number - 1) * ROWS_PER_PAGE, len(self._results)
        part = self._results[start : start + ROWS_PER_PAGE]
        shown = f"{start + 1} to {start + len(part)} of {total} images" if count > 1 else f"{total} images"
        shown = "1 image" if total == 1 else shown
        page.add_subtitle(" · ".join(filter(None, [self.subtitle, shown])))
        neighbours = (("previous", number - 1), ("next", number + 1))
        page.add_links([(text, _page_file(other)) for text, other in neighbours if 1 <= other <= count])
        page.add_links(self.links)
        page.explain_attention((label for _, files in part for label in files), self.gammas)
        page.lay_side_by_side()
        for caption, files in part:
            page.add_header(caption)
            for row in rows(files):
                page.add_images({label: files[label] for label in row}, self.image_width)
        page.add_table("Options", self.options)
        page.save(_page_file(number))


def finite_uint8(images: Tensor, what: str) -> np.ndarray:
    """to_uint8(images); RunFault if they hold NaN or infinity, which no picture shows."""
    if not torch.isfinite(images).all():
        raise RunFault(
            f"{what} holds values that are not finite numbers: use the weights of another --epoch, or --amp none"
        )
    return to_uint8(images)


def _relative_stem(path: str, root: str | None, longest: int) -> PurePosixPath:
    """`root`/a/b.png -> a/b, with at most `longest` bytes after a/; a path outside `root` -> its stem."""
    file = Path(path)
    relative = file.relative_to(root) if root is not None and file.is_relative_to(root) else Path(file.name)
    stem = os.fsdecode(os.fsencode(relative.stem)[:longest])
    return PurePosixPath(*relative.parts[:-1], stem)


def _page_file(number: int) -> str:
    return "index.html" if number == 1 else page_file(number)
