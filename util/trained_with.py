"""What this user has trained with: plugin folders and servers that the options of a run may name again.

A run folder may come from somebody else, so its options are data: they may choose networks and numbers, but not code
to import or servers to contact. A flag that does so is declared with `kept_outside=`. Training records its value in
the user's state directory, zebrawood/trained_with in $XDG_STATE_HOME or ~/.local/state: one file for each value, which
holds the value in words. A value that a run's options name is used only if it is the default or recorded there;
otherwise the user repeats it on the command line, and training with it records it.

Folders are compared by their real paths, without symbolic links. The contents of a recorded folder may change, because
its author edits the plugins between trainings. A folder inside --checkpoints_dir is never recorded: that is where run
folders from others are put.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from util import log
from util.cache_folder import state_folder
from util.errors import RunFault
from util.files import write_atomically


def items(value: object) -> list[str]:
    """The items of a list, or one value, as text."""
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def as_text(value: object) -> list[str]:
    return [str(value)]


def real_paths(folders: object) -> list[str]:
    """The absolute paths of folders, without symbolic links."""
    return [os.path.realpath(folder) for folder in items(folders)]


def is_recorded(option: str, value: str) -> bool:
    path = _record(option, value)
    return path is not None and path.is_file()


def record(values: Iterable[tuple[str, str]], checkpoints_dir: str) -> None:
    """Record (option, value) pairs, except `checkpoints_dir` and paths inside it; a warning says what follows if that fails."""
    runs = os.path.join(os.path.realpath(checkpoints_dir), "")
    for option, value in values:
        if is_recorded(option, value) or os.path.join(value, "").startswith(runs):
            continue
        path = _record(option, value)
        try:
            if path is None:
                raise RunFault("there is no home folder")
            write_atomically(path, f"--{option} {value}\n".encode())
        except RunFault as error:
            log.warn(f"{error}; later starts of this run will ask for --{option} {value} again")


def _record(option: str, value: str) -> Path | None:
    """The file that records a value; None without a home folder."""
    digest = hashlib.sha256(f"{option}\0{value}".encode(errors="surrogateescape")).hexdigest()
    return state_folder("trained_with", digest)
