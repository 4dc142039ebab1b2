"""MNIST and its kin as they are downloaded, packed: torchvision reads them unpacked alone."""

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unpacked(root: str, set_name: str) -> Iterator[str]:
    """A root below which `set_name` lies unpacked: `root` itself, or for the while of the block a copy.

    The copy is made where the packed files alone are there, because their folder may be one that nobody
    may write to.
    """
    packed = sorted(Path(root, set_name, "raw").glob("*-ubyte.gz"))
    if not packed or all(path.with_suffix("").exists() for path in packed):
        yield root
        return
    with tempfile.TemporaryDirectory() as copy:
        raw = Path(copy, set_name, "raw")
        raw.mkdir(parents=True)
        for path in packed:
            with gzip.open(path) as source, open(raw / path.stem, "wb") as target:
                shutil.copyfileobj(source, target)
        yield copy
