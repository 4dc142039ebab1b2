"""The scenes of LSUN from its LMDB files.

torchvision's reader stores the keys of a file in the current folder and never notices when the file changes.
This one reads the keys at each start, which takes seconds.
"""

import os
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.images import convert, read_image
from data.sources.per_process import OpenPerProcess
from util.cli.packages import require
from util.errors import UserError

CATEGORIES = (
    "bedroom bridge church_outdoor classroom conference_room dining_room kitchen living_room restaurant tower"
).split()


class LsunImages:
    """A Source: the images of `root`/<part>_lmdb, where `part` is for example church_outdoor_train.

    Raises:
        UserError: the folder does not exist, or the package lmdb is missing.
    """

    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def __init__(self, root: str, part: str, *, channels: int) -> None:
        require("lmdb", "--tv_dataset LSUN")
        folder = Path(root, f"{part}_lmdb")
        if not os.path.isfile(folder / "data.mdb"):
            raise UserError(
                f"there is no LSUN in {folder}: download and unpack it there, which --download cannot do, or pass the "
                "parent folder of your copy as --dataroot"
            )
        self.part, self.folder, self.channels = part, str(folder), channels
        try:
            with database(self.folder)().begin() as transaction:
                self.keys = list(transaction.cursor().iternext(keys=True, values=False))
        except Exception as error:  # LMDB has one error for each kind of damage
            raise UserError(f"{folder} cannot be read ({error}): download it again") from error
        database(self.folder).close()  # LMDB does not permit an open database in forked processes

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> Image.Image:
        with database(self.folder)().begin() as transaction:
            content = transaction.get(self.keys[index])
        return convert(read_image(self.name(index), content), self.channels)

    def name(self, index: int) -> str:
        return f"{self.part}_{index:07d}.png"


@cache
def database(folder: str) -> OpenPerProcess:
    """The database in `folder`, one for all data sets: LMDB does not permit to open it twice in a process."""
    import lmdb

    return OpenPerProcess(
        partial(lmdb.open, folder, readonly=True, lock=False, readahead=False, create=False)
    )
