"""Draws sample sheets with a model, and saves them as images and one page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from util.imaging.gif import save_gif
from util.imaging.images import save_image, sheet
from util.imaging.sheets import Sheet
from util.pages.html import HTML
from util.pages.links import Link
from util.pages.results_page import finite_uint8

Batch = dict[str, Tensor | list[str]]
Test = Callable[[Batch], dict[str, Tensor]]  # a model's test()


def draw(test: Test, wanted: Sheet, batch_size: int) -> np.ndarray | None:
    """Return the images of a sheet, (N, H, W, C) uint8; None if the model has no images of this kind."""
    inputs = {"z": wanted.z} if wanted.label is None else {"z": wanted.z, "label": wanted.label}
    parts = []
    for start in range(0, len(wanted.z), batch_size):
        visuals = test({key: value[start : start + batch_size] for key, value in inputs.items()})
        if wanted.shows not in visuals:
            return None
        parts.append(finite_uint8(visuals[wanted.shows], f"--sheets {wanted.name}"))
    return np.concatenate(parts)


class SheetPage:
    """Writes `folder`/images/<sheet>.png or .gif, and `folder`/index.html with a section for each sheet."""

    def __init__(
        self,
        folder: Path,
        title: str,
        subtitle: str = "",
        links: Sequence[Link] = (),
        options: Mapping[str, object] | None = None,
        gammas: str = "",
    ) -> None:
        self._page = HTML(folder, title)
        self._page.add_subtitle(subtitle)
        self._page.add_links(links)
        self._options, self._gammas = options or {}, gammas
        self._page.lay_side_by_side()
        self.images = self._page.img_dir

    def add(self, drawn: Sheet, images: np.ndarray) -> None:
        """Save a sheet made of images (N, H, W, C) uint8. Raises RunFault if that fails."""
        # an attention image consists of several pictures side by side, so fewer fit into a row
        columns = max(1, drawn.columns * images.shape[1] // images.shape[2])
        file = f"{drawn.name}.{'gif' if drawn.fps else 'png'}"
        if drawn.fps:
            frames = [sheet(row, columns) for row in images.reshape(-1, columns, *images.shape[1:])]
            save_gif(frames, self.images / file, fps=drawn.fps)
        else:
            save_image(sheet(images, columns), self.images / file)
        for name, image in zip(drawn.files, images, strict=False):
            save_image(image, self.images / name)
        self._page.explain_attention([drawn.shows], self._gammas)
        self._page.add_header(drawn.title)
        self._page.add_images({drawn.caption: file})

    def save(self) -> None:
        """Write the page. Raises RunFault if that fails."""
        self._page.add_table("Options", self._options)
        self._page.save()
