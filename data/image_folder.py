"""Finding the image files of a folder."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from data.listing import index_cache
from data.listing.compact_paths import Paths
from util.errors import UserError

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp")
# what is an image: a list that was made by another rule is not remembered; raise the number when _scan changes
RULE = f"1 {' '.join(IMG_EXTENSIONS)}"


def is_image_file(filename: str) -> bool:
    return filename.lower().endswith(IMG_EXTENSIONS)


def make_dataset(folder: str | Path, max_dataset_size: float = math.inf) -> list[str]:
    """image_paths() as a list; classic form."""
    return list(image_paths(folder, max_dataset_size))


def image_paths(folder: str | Path, max_dataset_size: float = math.inf) -> Paths:
    """The paths of all images in `folder` and its sub-folders, sorted; of these the first `max_dataset_size`.

    Hidden files and folders (names that begin with a dot) are left out. Linked folders are followed, except
    back to a folder that is being scanned. The whole folder is scanned before the list is cut, because the
    first names are known only after sorting. The list of a large folder is kept, see index_cache.py.

    Raises:
        UserError: no such folder, no images in it, or a folder that may not be read.
    """
    folder = Path(folder)
    check_most(max_dataset_size)
    if not folder.is_dir():
        raise UserError(_missing(folder))
    paths = Paths(os.path.join(folder, ""), _names(str(folder)))
    if not paths:
        raise UserError(
            f"no image in {folder}; there is {_contents(folder)}, and {folder.parent} holds "
            f"{_contents(folder.parent)}; images end in {' '.join(IMG_EXTENSIONS)}"
        )
    return paths.first(int(min(max_dataset_size, len(paths))))


def check_most(max_dataset_size: float) -> None:
    """Refuse a --max_dataset_size that leaves nothing."""
    if max_dataset_size < 1:
        raise UserError(f"--max_dataset_size {max_dataset_size} leaves no image; give 1 or more")


def _names(folder: str) -> bytes:
    """All image names below `folder`, sorted, between zero bytes: those that are remembered, or else found."""
    names = index_cache.load(folder, rule=RULE)
    if names is None:
        stamps: dict[str, index_cache.Stamp] = {}
        scanned_ns = time.time_ns()
        found = sorted(_scan(folder, "", frozenset(), stamps))
        names = os.fsencode("\0".join(found))
        index_cache.save(folder, names, stamps, scanned_ns=scanned_ns, rule=RULE)
    return names


def _scan(
    folder: str, below: str, above: frozenset[str], stamps: dict[str, index_cache.Stamp]
) -> Iterator[str]:
    """All image names in `folder`, each behind `below`, which is the way to it with a slash at its end.

    `above` are the real paths of the folders it was reached through. `stamps` gets the state of every
    folder from before it was listed.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        stamps[below] = index_cache.stamp(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error
    folders = []
    for entry in visible(folder):
        if entry.is_dir():
            folders.append(entry.name)
        elif is_image_file(entry.name):
            yield below + entry.name
        elif entry.is_symlink() and not os.path.exists(entry.path):
            # a folder of images may be mounted there later
            stamps[below + entry.name] = index_cache.UNTRUSTED
    for name in folders:
        yield from _scan(os.path.join(folder, name), os.path.join(below, name, ""), above | {real}, stamps)


def visible(folder: str | Path) -> Iterator[os.DirEntry]:
    """What is in `folder` but for hidden files and folders, one by one: there may be millions.

    Raises:
        UserError: it may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: str | Path, error: OSError) -> UserError:
    return UserError(f"the folder {folder} cannot be read ({error.strerror})")


def _missing(folder: Path) -> str:
    """The sentence for a folder that is not there, with what its parent holds instead."""
    parent = folder.parent
    for path in (folder, parent):
        if path.exists() and not path.is_dir():
            return f"{path} is a file; --dataroot names a folder"
    if not parent.is_dir():
        return f"there is no folder {folder}, nor {parent}; check --dataroot"
    if any(is_image_file(name) for name in os.listdir(parent)):
        return (
            f"there is no folder {folder}, and {parent} holds images itself; --dataroot should be "
            f"the folder around it: {parent.resolve().parent}"
        )
    return f"there is no folder {folder}; found in {parent} instead: {_contents(parent)}"


def _contents(folder: Path) -> str:
    """The visible sub-folders by name and the other files by number, in words."""
    names = [name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    folders = [name for name in names if (folder / name).is_dir()]
    words = folders[:12] + (["..."] if len(folders) > 12 else [])
    if len(names) > len(folders):
        files = len(names) - len(folders)
        words.append("1 file" if files == 1 else f"{files} files")
    return ", ".join(words) or "nothing"
