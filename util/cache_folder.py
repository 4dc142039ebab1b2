"""The folder for files that can be deleted at any time: zebrawood in $XDG_CACHE_HOME or ~/.cache."""

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A path in the folder; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base, "zebrawood", *parts)
