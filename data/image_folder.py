"""Finding the image files of a folder."""

import math
import os
from pathlib import Path

from util.errors import UserError

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp")


def is_image_file(filename: str) -> bool:
    return filename.lower().endswith(IMG_EXTENSIONS)


def make_dataset(folder: str | Path, max_dataset_size: float = math.inf) -> list[str]:
    """The paths of all images in `folder` and its sub-folders, sorted; of these the first `max_dataset_size`.

    Hidden files and folders (names that begin with a dot) are left out. Linked folders are followed, except
    back to a folder that is being scanned. The whole folder is scanned before the list is cut, because the
    first names are known only after sorting.

    Raises:
        UserError: no such folder, no images in it, or a folder that may not be read.
    """
    folder = Path(folder)
    if max_dataset_size < 1:
        raise UserError(f"--max_dataset_size {max_dataset_size} leaves no image; give 1 or more")
    if not folder.is_dir():
        raise UserError(_missing(folder))
    paths = sorted(_scan(str(folder), frozenset()))
    if not paths:
        raise UserError(
            f"no image in {folder}; there is {_contents(folder)}, and {folder.parent} holds "
            f"{_contents(folder.parent)}; images end in {' '.join(IMG_EXTENSIONS)}"
        )
    return paths[: int(min(max_dataset_size, len(paths)))]


def _scan(folder: str, above: frozenset[str]) -> list[str]:
    """All image paths below `folder`; `above` are the real paths of the folders it was reached through."""
    real = os.path.realpath(folder)
    if real in above:
        return []
    found = []
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be read ({error.strerror})") from error
    for entry in visible:
        if entry.is_dir():
            found += _scan(entry.path, above | {real})
        elif is_image_file(entry.name):
            found.append(entry.path)
    return found


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
