"""The plain path, `--fast off`: computed step by step as papers write it, to test and time every faster way against."""

from collections.abc import Iterator
from contextlib import contextmanager

_plain = False


def is_plain() -> bool:
    """Whether what runs now is asked to take no short cut."""
    return _plain


@contextmanager
def plain(on: bool = True) -> Iterator[None]:
    """Within the context is_plain() is `on`."""
    global _plain
    before, _plain = _plain, on
    try:
        yield
    finally:
        _plain = before
