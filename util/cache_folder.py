"""The folders of this program outside a run: zebrawood in $XDG_CACHE_HOME or ~/.cache, and in $XDG_STATE_HOME or ~/.local/state.

Files in the cache can be deleted at any time; the state is described in util/trained_with.py.
"""

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A path in the folder of files that can be recreated; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base, "zebrawood", *parts)


def state_folder(*parts: str) -> Path | None:
    """A path in the folder of the user's state; it need not exist. None if the user has no home folder."""
    # a relative path would depend on the working directory, which may be a folder from somebody else
    for base in (os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser("~/.local/state")):
        if os.path.isabs(base):
            return Path(base, "zebrawood", *parts)
    return None
