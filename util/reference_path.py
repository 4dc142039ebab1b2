"""The plain path, `--fast off`: computed step by step as papers write it, to test and time every faster way against."""

from collections.abc import Iterator
from contextlib import contextmanager

_is_on = False


def is_reference_path() -> bool:
    """Whether what runs now is asked to take no short cut."""
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
