"""Fetches one of the well-known data sets and unpacks it.

    python scripts/download_dataset.py horse2zebra
    python scripts/download_dataset.py --list

A download that broke off is taken up where it stopped. An archive that already lies in --dest, fetched by
hand for example, is unpacked without asking the network.
"""

import argparse
import gzip
import hashlib
import http.client
import os
import shutil
import stat
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util import log, plugins
from util.cli.arguments import Arguments
from util.errors import RunFault, UserError, run

HOST = "http://efrosgans.eecs.berkeley.edu"
# kind -> file ending, data sets; cyclegan: unaligned folders trainA trainB, pix2pix: aligned files
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cyclegan": (
        ".zip",
        (
            "ae_photos",
            "apple2orange",
            "cezanne2photo",
            "facades",
            "horse2zebra",
            "iphone2dslr_flower",
            "maps",
            "monet2photo",
            "summer2winter_yosemite",
            "ukiyoe2photo",
            "vangogh2photo",
        ),
    ),
    "pix2pix": (".tar.gz", ("edges2handbags", "edges2shoes", "facades", "maps", "night2day")),
}
CITYSCAPES = (
    "cityscapes may not be handed on: register at https://www.cityscapes-dataset.com, fetch "
    "gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip there, and give photographs and label images "
    "equal names for scripts/combine_A_and_B.py"
)
NETWORK_ERRORS = (OSError, http.client.HTTPException)  # URLError and timeouts are OSErrors
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError)
TIMEOUT_S = 30
CHUNK = 1 << 20


def main() -> None:
    args = parse()
    if args.list or not args.name:
        for kind, (_, names) in KINDS.items():
            log.info(f"{kind}: {', '.join(names)}")
        log.info(f"not here: {CITYSCAPES}")
        return
    kind = args.kind or kind_of(args.name)
    ending, names = KINDS[kind]
    if args.name not in names:
        raise UserError(plugins.unknown(f"the {kind} data set", args.name, names))
    target = args.dest / args.name
    if target.exists():
        raise UserError(f"{target} exists already; remove it to fetch it again, or give another --dest")
    archive = args.dest / f"{args.name}{ending}"
    url = f"{args.mirror}/{kind}/datasets/{archive.name}"
    try:
        args.dest.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            fetch(url, archive)
        check_sum(archive, expected=args.sha256)
        unpack(archive, target)
        archive.unlink()
    except OSError as error:
        raise RunFault(f"cannot write to {args.dest} ({error.strerror or error})") from error
    log.info(f"unpacked to {target}")


def parse() -> argparse.Namespace:
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="the data set")
    parser.add_argument("--list", action="store_true", help="list the data sets and end")
    parser.add_argument("--dest", type=Path, default=Path("datasets"), help="folder to unpack into")
    parser.add_argument("--kind", choices=sorted(KINDS), help="needed for a name that both have")
    parser.add_argument("--sha256", help="refuse an archive with another SHA-256 sum")
    parser.add_argument("--mirror", default=HOST, help=f"another server of the same layout (default: {HOST})")
    return parser.parse_args()


def kind_of(name: str) -> str:
    """The one kind that has a data set of this name.

    Raises:
        UserError: none has it, or both.
    """
    if name == "cityscapes":
        raise UserError(CITYSCAPES)
    kinds = [kind for kind, (_, names) in KINDS.items() if name in names]
    if len(kinds) > 1:
        raise UserError(
            f"{name} exists as unaligned folders (--kind cyclegan) and as aligned files (--kind pix2pix)"
        )
    if not kinds:
        known = {known for _, names in KINDS.values() for known in names}
        raise UserError(plugins.unknown("the data set", name, known))
    return kinds[0]


def fetch(url: str, archive: Path) -> None:
    """Download `url`, going on with what an earlier try left in <archive>.part.

    Raises:
        RunFault: no network, no such file on the server, or the connection broke off.
    """
    part = archive.with_name(archive.name + ".part")
    try:
        _download(url, part)
    except NETWORK_ERRORS as error:
        reason = getattr(error, "reason", None) or error
        raise RunFault(
            f"cannot fetch {url} ({reason}); run this again to go on, or fetch it by hand into {archive.parent}"
        ) from error
    os.replace(part, archive)


def _download(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        # the rest of a file that is already whole cannot be asked for
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return
        part.unlink()
        raise OSError(f"{part} was no part of it and is removed") from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
        total = have + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if have else "wb") as file:
            done = _copy(response, file, have, total)
    if done < total:
        raise OSError(f"the connection broke off after {done:,} of {total:,} bytes")


def _copy(source: IO[bytes], file: IO[bytes], done: int, total: int) -> int:
    """Copy all of `source`, with a line for each tenth of `total`; the bytes there are now."""
    while chunk := source.read(CHUNK):
        file.write(chunk)
        if total and (done + len(chunk)) * 10 // total > done * 10 // total:
            log.info(f"{100 * (done + len(chunk)) // total:3d} % of {total / 1e6:.0f} MB")
        done += len(chunk)
    return done


def check_sum(archive: Path, *, expected: str | None) -> None:
    """Record the SHA-256 sum of the archive in <archive>.sha256.

    Raises:
        RunFault: another sum was expected.
    """
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and found != expected.lower():
        raise RunFault(f"{archive} has the SHA-256 sum {found}, not {expected}; remove it and fetch it again")
    archive.with_name(archive.name + ".sha256").write_text(f"{found}  {archive.name}\n", encoding="utf-8")
    log.info(f"SHA-256 {found} ({'as expected' if expected else 'keep it to check later downloads'})")


def unpack(archive: Path, target: Path) -> None:
    """Unpack into a temporary folder and rename it, so that `target` is whole or not there.

    Raises:
        UserError: a file would land outside the folder, or is no plain file.
        RunFault: the archive is damaged.
    """
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        members = _zip_members(archive) if archive.suffix == ".zip" else _tar_members(archive)
        for name, content in members:
            path = temporary / _safe(name, archive)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(content, file, CHUNK)
        inner = temporary / target.name
        os.replace(inner if inner.is_dir() else temporary, target)
    except DAMAGED as error:
        raise RunFault(f"{archive} is damaged ({error}); remove it and fetch it again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{archive} holds the link {member.filename}; it is not unpacked")
            if not member.is_dir():
                with file.open(member) as content:
                    yield member.filename, content


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as file:
        for member in file:
            content = file.extractfile(member) if member.isreg() else None
            if content:
                yield member.name, content
            elif not member.isdir():
                raise UserError(f"{archive} holds {member.name}, which is no plain file; it is not unpacked")


def _safe(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise UserError(f"{archive} holds {name}, which points out of its folder; it is not unpacked")
    return path


if __name__ == "__main__":
    raise SystemExit(run(main))
