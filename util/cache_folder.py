"""The folders of this program outside a run: zebrawood in $XDG_CACHE_HOME or ~/.cache, and in $XDG_STATE_HOME or ~/.local/state.

Files in the cache can be deleted at any time; the state is described in util/trained_with.py.
"""

import os
import tempfile
from functools import cache
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A path in the folder of files that can be recreated; it need not exist.

    Without a home folder, it is a temporary one that ends with the process.
    """
    base = _first_absolute(os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache"))
    return Path(base or _temporary().name, "zebrawood", *parts)


def state_folder(*parts: str) -> Path | None:
    """A path in the folder of the user's state; it need not exist. None if the user has no home folder."""
    base = _first_absolute(os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser("~/.local/state"))
    return Path(base, "zebrawood", *parts) if base else None


def _first_absolute(*folders: str) -> str | None:
    """A relative path would depend on the working directory, which may be a folder from somebody else."""
    return next(filter(os.path.isabs, folders), None)


@cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="zebrawood-")
