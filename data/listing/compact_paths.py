"""File paths in little memory, for folders of 1,000,000 images.

That many strings in a list take 110 MB, and each forked worker copies them over time, because reading a string
changes its reference count. One block of bytes takes 34 MB, which all workers share.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class CompactPaths(Sequence[str]):
    """The paths of the files `names`, one or more separated by zero characters, in `folder`.

    They can be added to lists and compared with lists; a sum or a slice is a list.
    """

    def __init__(self, folder: str, names: str) -> None:
        self._prefix, self._names = os.path.join(folder, ""), os.fsencode(names)
        zeros = np.flatnonzero(np.frombuffer(self._names, np.uint8) == 0)
        # where each name starts, and where a name after the last one would start
        self._starts = np.concatenate([[0], zeros + 1, [len(self._names) + 1]])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(len(self))[index]]
        position = range(len(self))[index]
        start, following = self._starts[position : position + 2]
        return self._prefix + os.fsdecode(self._names[start : following - 1])

    def __iter__(self) -> Iterator[str]:
        return (self._prefix + name for name in os.fsdecode(self._names).split("\0"))

    def __add__(self, other: Any) -> list[str]:
        return [*self, *other] if isinstance(other, list | CompactPaths) else NotImplemented

    def __radd__(self, other: Any) -> list[str]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | CompactPaths) else NotImplemented
