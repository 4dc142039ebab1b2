"""File paths in little memory, for folders of 1,000,000 images.

That many strings in a list take 110 MB, and each forked worker copies them over time, because reading a string
changes its reference count. One block of bytes takes 34 MB, which all workers share.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class CompactPaths(Sequence[str]):
    """The sorted paths of the files `names`, separated by zero bytes, in `folder`.

    Adds to and compares with lists and other CompactPaths as a list does; a sum or a slice is a list.
    """

    def __init__(self, folder: str, names: bytes) -> None:
        self._prefix, self._names = os.path.join(folder, ""), names
        ends = np.flatnonzero(np.frombuffer(names, np.uint8) == 0)
        # the position of each name, and that of the name that would follow the last one
        self._starts = np.concatenate([[0], ends + 1, [len(names) + 1] if names else []]).astype(np.int64)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: Any) -> Any:
        positions = range(len(self))[index]
        if isinstance(positions, range):
            return [self[position] for position in positions]
        start, following = self._starts[positions : positions + 2]
        return self._prefix + os.fsdecode(self._names[start : following - 1])

    def __iter__(self) -> Iterator[str]:
        names = os.fsdecode(self._names).split("\0") if self._names else []
        return (self._prefix + name for name in names)

    def __add__(self, other: Sequence[str]) -> list[str]:
        return [*self, *other] if isinstance(other, list | CompactPaths) else NotImplemented

    def __radd__(self, other: list[str]) -> list[str]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | CompactPaths) else NotImplemented

    def first(self, count: int) -> "CompactPaths":
        """The first `count` paths, at least 1."""
        names = self._names if count >= len(self) else self._names[: self._starts[count] - 1]
        return CompactPaths(self._prefix, names)
