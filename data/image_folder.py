"""Find the image files in a folder."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from data.listing import index_cache
from data.listing.compact_paths import CompactPaths
from util.errors import UserError

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp")
# the criteria of _scan for the index cache; increase the number when they change
RULE = f"1 {' '.join(IMG_EXTENSIONS)}"


def is_image_file(filename: str) -> bool:
    return filename.lower().endswith(IMG_EXTENSIONS)


def make_dataset(folder: str | Path, max_dataset_size: float = math.inf) -> list[str]:
    """`image_paths` as a list, under upstream's name."""
    return list(image_paths(folder, max_dataset_size))


def image_paths(folder: str | Path, max_dataset_size: float = math.inf) -> CompactPaths:
    """The sorted paths of the images in `folder` and its sub-folders, at most the first `max_dataset_size`.

    Hidden files and folders (names that begin with a dot) are ignored. Symbolic links to folders are followed,
    except to a folder that is being scanned. The list of a large folder is cached, see index_cache.py.

    Raises:
        UserError: the folder does not exist, has no images or cannot be read.
    """
    folder = Path(folder)
    check_max_size(max_dataset_size)
    if not folder.is_dir():
        raise missing_folder(folder)
    names = index_cache.load(str(folder), rule=RULE)
    if names is None:
        times: dict[str, index_cache.Times] = {}
        scanned_ns = time.time_ns()
        names = "\0".join(sorted(_scan(str(folder), "", frozenset(), times)))
        index_cache.save(str(folder), names, times, scanned_ns=scanned_ns, rule=RULE)
    if not names:
        raise UserError(
            f"no images in {folder}, which contains {_contents(folder)}; {folder.parent} contains "
            f"{_contents(folder.parent)}; images end in {' '.join(IMG_EXTENSIONS)}"
        )
    if max_dataset_size <= names.count("\0"):
        names = "\0".join(names.split("\0", int(max_dataset_size))[:-1])
    return CompactPaths(str(folder), names)


def check_max_size(max_dataset_size: float) -> None:
    if max_dataset_size < 1:
        raise UserError(f"--max_dataset_size {max_dataset_size} leaves no images; use 1 or more")


def visible(folder: str | Path) -> Iterator[os.DirEntry]:
    """The entries of `folder` that are not hidden; raises UserError if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry
    except OSError as error:
        raise _unreadable(folder, error) from error


def missing_folder(folder: Path) -> UserError:
    """The error for a folder that does not exist, with what its parent contains instead."""
    parent, problem = folder.parent, f"there is no folder {folder}"
    for path in (folder, parent):
        if path.is_file():
            return UserError(f"{path} is a file; --dataroot must be a folder")
    if not parent.is_dir():
        return UserError(f"{problem}, and no folder {parent}; check --dataroot")
    if any(is_image_file(name) for name in os.listdir(parent)):
        return UserError(
            f"{problem}, but {parent} contains images; --dataroot should probably be {parent.resolve().parent}"
        )
    return UserError(f"{problem}; {parent} contains {_contents(parent)}")


def _scan(
    folder: str, prefix: str, parents: frozenset[str], times: dict[str, index_cache.Times]
) -> Iterator[str]:
    """All image names in `folder` and its sub-folders, each with `prefix` before it.

    `parents` are the real paths of the folders that contain `folder`. The times of each folder, read before its
    names, are added to `times`.
    """
    real = os.path.realpath(folder)
    if real in parents:
        return
    try:
        times[prefix] = index_cache.folder_times(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error
    subfolders = []
    for entry in visible(folder):
        if entry.is_dir():
            subfolders.append(entry.name)
        elif is_image_file(entry.name):
            yield prefix + entry.name
        elif entry.is_symlink() and not os.path.exists(entry.path):
            times[prefix + entry.name] = index_cache.UNKNOWN  # a folder of images may be mounted there later
    for name in subfolders:
        yield from _scan(os.path.join(folder, name), os.path.join(prefix, name, ""), parents | {real}, times)


def _unreadable(folder: str | Path, error: OSError) -> UserError:
    return UserError(f"the folder {folder} cannot be read ({error.strerror})")


def _contents(folder: Path) -> str:
    """The names of the visible sub-folders and the number of other files, in words."""
    entries = list(visible(folder))
    folders = sorted(entry.name for entry in entries if entry.is_dir())
    words = folders[:12] + (["..."] if len(folders) > 12 else [])
    if files := len(entries) - len(folders):
        words.append("1 file" if files == 1 else f"{files} files")
    return ", ".join(words) or "nothing"
