"""Where files lie that are made again when they are gone: $XDG_CACHE_HOME, or ~/.cache, under zebrawood."""

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """The folder, or with `parts` what is below it; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base, "zebrawood", *parts)
