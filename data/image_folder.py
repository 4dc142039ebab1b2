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
MOST_VISITS = (
    100  # of one folder through different symbolic links, whose number of ways can grow without limit
)
# the criteria of _scan for the index cache; increase the number when they change
RULE = f"2 {' '.join(IMG_EXTENSIONS)}"


def is_image_file(filename: str) -> bool:
    return filename.lower().endswith(IMG_EXTENSIONS)


def make_dataset(folder: str | Path, max_dataset_size: float = math.inf) -> list[str]:
    """`image_paths` as a list, under upstream's name."""
    return list(image_paths(folder, max_dataset_size))


def image_paths(folder: str | Path, max_dataset_size: float = math.inf) -> CompactPaths:
    """The sorted paths of the images in `folder` and its sub-folders, at most the first `max_dataset_size`.

    Hidden files and folders (names that begin with a dot) are ignored, and so are FIFOs, sockets and devices.
    Symbolic links to folders are followed, except to a folder that is being scanned. The list of a large folder is cached, see index_cache.py.

    Raises:
        UserError: the folder does not exist, has no images or cannot be read.
    """
    folder = Path(folder)
    check_max_size(max_dataset_size)
    if not os.path.isdir(folder):
        raise missing_folder(folder)
    names = index_cache.load(str(folder), rule=RULE)
    if names is None:
        times: dict[str, index_cache.Times] = {}
        scanned_ns = time.time_ns()
        names = "\0".join(sorted(_scan(str(folder), times)))
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


def is_folder(entry: os.DirEntry) -> bool:
    """Whether it is a folder or a link to one; a link that cannot be followed, such as a loop, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def missing_folder(folder: Path) -> UserError:
    """The error for a folder that does not exist or cannot be reached, with what its parent contains instead."""
    parent, problem = folder.parent, f"there is no folder {folder}"
    for path in (folder, parent):
        if os.path.isfile(path):
            return UserError(f"{path} is a file; --dataroot must be a folder")
    if not os.path.isdir(parent):
        return UserError(f"{problem}, and no folder {parent}; check --dataroot")
    if any(is_image_file(entry.name) for entry in visible(parent)):
        above = os.path.normpath(parent / "..")
        if os.path.isdir(os.path.join(above, folder.name)):  # --dataroot D/trainA instead of D
            return UserError(f"{problem}, but {parent} contains images; use --dataroot {above}")
        return UserError(
            f"{problem}, but {parent} contains images: move them into sub-folders of the names that docs/data.md "
            "lists, or name the folder of a data set"
        )
    for entry in visible(parent):
        if is_folder(entry) and os.path.isdir(os.path.join(entry.path, folder.name)):
            return UserError(f"{problem}; did you mean --dataroot {entry.path}?")
    return UserError(f"{problem}; {parent} contains {_contents(parent)}")


def _scan(top: str, times: dict[str, index_cache.Times]) -> Iterator[str]:
    """All image names in the folder `top` and its sub-folders, relative to it.

    The times of each folder, read before its names, are added to `times`.
    """
    visits: dict[str, int] = {}  # of the real path of each folder
    waiting: list[tuple[str, frozenset[str]]] = [("", frozenset())]  # (folder, real paths of those around it)
    while waiting:
        prefix, parents = waiting.pop()
        folder = os.path.join(top, prefix)
        real = os.path.realpath(folder)
        if real in parents:
            continue
        visits[real] = visits.get(real, 0) + 1
        if visits[real] > MOST_VISITS:
            raise UserError(f"symbolic links in {top} lead to {real} in too many ways: remove some of them")
        try:
            times[prefix] = index_cache.folder_times(folder)
        except OSError as error:
            raise _unreadable(folder, error) from error
        for entry in visible(folder):
            if is_folder(entry):
                waiting.append((os.path.join(prefix, entry.name, ""), parents | {real}))
            elif is_image_file(entry.name) and (entry.is_symlink() or entry.is_file()):
                yield prefix + entry.name
            elif entry.is_symlink() and not os.path.exists(entry.path):
                times[prefix + entry.name] = (
                    index_cache.UNKNOWN
                )  # a folder of images may be mounted there later


def _unreadable(folder: str | Path, error: OSError) -> UserError:
    return UserError(f"the folder {folder} cannot be read ({error.strerror})")


def _contents(folder: Path) -> str:
    """The names of the visible sub-folders and the number of other files, in words."""
    entries = list(visible(folder))
    folders = sorted(entry.name for entry in entries if is_folder(entry))
    words = folders[:12] + (["..."] if len(folders) > 12 else [])
    if files := len(entries) - len(folders):
        words.append("1 file" if files == 1 else f"{files} files")
    return ", ".join(words) or "nothing"
