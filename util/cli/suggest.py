"""The sentence about a name that does not exist, with the most similar name that does."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most similar to `name`; empty if none is similar."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.5)), "")


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`--norm layr is unknown; did you mean layer? known: batch, layer`; `what` is the flag."""
    known = sorted(known)
    similar = nearest(name, known)
    hint = f"did you mean {similar}? " if similar else ""
    return f"{what} {name} is unknown; {hint}known: {', '.join(known)}"
