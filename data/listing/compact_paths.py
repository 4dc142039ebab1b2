"""Many file paths in little memory, which forked data workers share."""

import os
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

PART = 4096  # names that are decoded at once


class Paths(Sequence[str]):
    """Paths below one folder: what stands before all of them, and one block of names.

    A million strings in a list take 110 MB, and every worker that reads them copies their pages, because
    reading a string counts references in it. The block takes 20 MB once and for all.
    With lists and with each other they are added, to a list, and compared as lists are.
    """

    def __init__(self, start: str, names: bytes) -> None:
        """`names` between zero bytes, none where it is empty; `start` is put before each."""
        self._start, self._names = start, names
        behind = np.flatnonzero(np.frombuffer(names, np.uint8) == 0) + 1
        # where each name begins, and where one behind the last would
        self._bounds = np.concatenate([[0], behind, [len(names) + 1] if names else []]).astype(np.int64)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        begin, end = self._bounds[place : place + 2]
        return self._start + os.fsdecode(self._names[begin : end - 1])

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), PART):
            bounds = self._bounds[first : first + PART + 1]
            names = os.fsdecode(self._names[bounds[0] : bounds[-1] - 1])
            yield from [self._start + name for name in names.split("\0")]

    def __add__(self, other: Sequence[str]) -> list[str]:
        return [*self, *other] if isinstance(other, list | Paths) else NotImplemented

    def __radd__(self, other: list[str]) -> list[str]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | Paths) else NotImplemented

    def first(self, count: int) -> "Paths":
        """The first `count` of them, at least one."""
        return self if count >= len(self) else Paths(self._start, self._names[: self._bounds[count] - 1])
