"""The sorted image names of large folders, kept between starts and believed only while no folder has changed.

A list lies in $XDG_CACHE_HOME, or ~/.cache, under zebrawood/index: never beside the data. Adding, removing or
renaming an entry changes the time stamps of the folder around it, so a list holds the stamps of all folders
that were searched, and is thrown away when one differs. A folder that changed just before it was listed is
not trusted: what changes within the same tick of the file system's clock leaves no trace.

A file is a checksum, the stamps as one line of JSON, and the names between zero bytes: a million of them
load in well under a second.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from util import log
from util.cache_folder import cache_folder
from util.errors import UserError
from util.files import write_whole

Stamp = tuple[int, int]  # when the content and when anything of a folder changed last, in ns

LEAST = 5000  # a folder with no more images is scanned in no time
UNTRUSTED: Stamp = (2**63, 2**63)  # of what may change without a trace
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use, that of FAT


def stamp(folder: str) -> Stamp:
    """The state of a folder; ctime catches what resets mtime, such as unpacking an archive."""
    found = os.stat(folder)
    return found.st_mtime_ns, found.st_ctime_ns


def load(folder: str, *, rule: str) -> bytes | None:
    """The remembered names below `folder` between zero bytes, or None where there are none that hold.

    `rule` stands for what was looked for: names found by another one are not given.
    """
    try:
        checksum, rest = _file(folder, rule).read_bytes().split(b"\n", 1)
        if int(checksum, 16) != zlib.crc32(rest):
            return None
        stamps, names = rest.split(b"\n", 1)
        for below, seen in json.loads(stamps).items():
            if stamp(os.path.join(folder, below)) != tuple(seen):
                return None
    except (OSError, ValueError):  # nothing there, or not ours
        return None
    return names


def save(folder: str, names: bytes, stamps: Mapping[str, Stamp], *, scanned_ns: int, rule: str) -> None:
    """Remember the names of a large folder that was searched at `scanned_ns`, in silence and if possible.

    `names`, between zero bytes, and the keys of `stamps` are relative to `folder`.
    """
    young = max(map(max, stamps.values())) > scanned_ns - SETTLED_NS
    if names.count(b"\0") < LEAST or young or not log.is_main():
        return
    rest = json.dumps(dict(stamps)).encode() + b"\n" + names
    with suppress(UserError, OSError):
        write_whole(_file(folder, rule), f"{zlib.crc32(rest):08x}\n".encode() + rest)


def _file(folder: str, rule: str) -> Path:
    key = hashlib.blake2b(os.fsencode(f"{rule}\n{os.path.realpath(folder)}"), digest_size=16)
    return cache_folder("index", key.hexdigest())
