"""Folders of JPEG files that weigh what photographs weigh, for the entries that read images."""

from pathlib import Path

import numpy as np
from PIL import Image

from scripts.toy.scenes import Style, draw_scene, render

DRAWN = 24  # different pictures of a folder; further files repeat them under other names
GRAIN = 6.0  # standard deviation, in grey levels: a drawing without it would be decoded too soon
QUALITY = 92
STYLES: dict[str, Style] = {"trainA": "plain", "trainB": "striped"}


def write_photos(root: Path, *, count: int, side: int) -> None:
    """`count` square JPEG files of `side` pixels in each of trainA and trainB below `root`."""
    for name, style in STYLES.items():
        folder = root / name
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for index in range(min(count, DRAWN)):
            picture = render(draw_scene(0, name, index), style, side)
            grainy = (picture + rng.normal(0, GRAIN, picture.shape)).clip(0, 255)
            Image.fromarray(grainy.astype(np.uint8)).save(folder / f"{index:05d}.jpg", quality=QUALITY)
        for index in range(DRAWN, count):
            (folder / f"{index:05d}.jpg").write_bytes((folder / f"{index % DRAWN:05d}.jpg").read_bytes())
