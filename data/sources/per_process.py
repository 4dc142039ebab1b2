"""Open files that must not be shared over a fork: each process opens its own."""

import os
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> Any: ...


T = TypeVar("T", bound=Closable)


class PerProcess(Generic[T]):
    """Calling it gives what `open_it` returns, opened once in each process; threads may not come first at once.

    It pickles without what is open, so `open_it` has to pickle.
    """

    def __init__(self, open_it: Callable[[], T]) -> None:
        self._open_it = open_it
        self._process, self._opened = 0, None  # type: int, T | None

    def __call__(self) -> T:
        if self._opened is None or self._process != os.getpid():
            self.close()
            self._process, self._opened = os.getpid(), self._open_it()
        return self._opened

    def close(self) -> None:
        """Close it, in this process alone; a later call opens it again."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_open_it": self._open_it, "_process": 0, "_opened": None}
