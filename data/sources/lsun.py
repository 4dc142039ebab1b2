"""Scenes of LSUN from its LMDB files.

torchvision's own reader keeps a pickle of the keys in the working folder and believes it for ever, whatever
becomes of the file; ours reads the keys anew, which takes seconds.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.images import convert, read_image
from data.sources.per_process import PerProcess
from util.cli.packages import require
from util.errors import UserError

CATEGORIES = (
    "bedroom bridge church_outdoor classroom conference_room dining_room kitchen living_room restaurant tower"
).split()


class LsunImages:
    """A Source: one category in `root`/<part>_lmdb, such as church_outdoor_train_lmdb.

    Raises:
        UserError: it is not there, or the package lmdb is missing.
    """

    labels: np.ndarray | None = None

    def __init__(self, root: str, part: str, *, channels: int) -> None:
        require("lmdb", "--tv_dataset LSUN")
        folder = Path(root, f"{part}_lmdb")
        if not (folder / "data.mdb").is_file():
            raise UserError(
                f"there is no LSUN in {folder}: download and unpack it there, which --download cannot do, or name "
                "the folder around it with --dataroot"
            )
        self.part, self.folder, self.channels = part, str(folder), channels
        with database(self.folder)().begin() as reading:
            self.keys = list(reading.cursor().iternext(keys=True, values=False))
        database(self.folder).close()  # LMDB forbids to carry an open one over a fork

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> Image.Image:
        with database(self.folder)().begin() as reading:
            stored = reading.get(self.keys[index])
        return convert(read_image(self.name(index), stored), self.channels)

    def name(self, index: int) -> str:
        return f"{self.part}_{index:07d}.png"


@cache
def database(folder: str) -> PerProcess:
    """One for all data sets of a process: LMDB forbids to open the same twice, too."""
    return PerProcess(partial(open_database, folder))


def open_database(folder: str) -> Any:
    import lmdb

    return lmdb.open(folder, readonly=True, lock=False, readahead=False, create=False)
