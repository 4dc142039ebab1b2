"""MNIST and FashionMNIST as downloaded: gzip files, which torchvision reads only once they are unpacked."""

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unpacked(root: str, set_name: str) -> Iterator[str]:
    """`root`, or the root of a temporary unpacked copy if only the gzip files of `set_name` are there.

    The folder of the gzip files itself may be read-only.
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
