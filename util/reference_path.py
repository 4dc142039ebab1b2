"""The reference path (`--fast off`): every operation as in the papers, without optimisations, to test and time them."""

from collections.abc import Iterator
from contextlib import contextmanager

_is_on = False


def is_reference_path() -> bool:
    """Whether the code that runs now must not use optimisations."""
    return _is_on


@contextmanager
def reference_path(on: bool = True) -> Iterator[None]:
    """Within the context, is_reference_path() returns `on`."""
    global _is_on
    before, _is_on = _is_on, on
    try:
        yield
    finally:
        _is_on = before
