"""Download a public data set and unpack it.

    python scripts/download_dataset.py horse2zebra
    python scripts/download_dataset.py --list

An interrupted download is continued by the next call. An archive that lies in --dest already, for example
because you downloaded it yourself, is unpacked without a network connection.
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
import urllib.parse
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util import log, plugins
from util.cli.arguments import Arguments
from util.errors import RunFault, UserError, run
from util.files import open_regular

HOST = "http://efrosgans.eecs.berkeley.edu"
ENDINGS = {"cyclegan": ".zip", "pix2pix": ".tar.gz"}
# cyclegan: unaligned folders trainA and trainB; pix2pix: aligned files
KINDS = {
    "cyclegan": "ae_photos apple2orange cezanne2photo facades horse2zebra iphone2dslr_flower maps monet2photo "
    "summer2winter_yosemite ukiyoe2photo vangogh2photo".split(),
    "pix2pix": "edges2handbags edges2shoes facades maps night2day".split(),
}
CITYSCAPES = (
    "cityscapes may not be redistributed: register at https://www.cityscapes-dataset.com, download "
    "gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip, give each photograph and its label image the "
    "same name, and join them with scripts/combine_A_and_B.py"
)
# URLError and timeouts are OSErrors; names that no server can have are ValueErrors
NETWORK_ERRORS = (OSError, http.client.HTTPException, ValueError)
# RuntimeError: encrypted, or compressed by a method that Python does not know
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    RuntimeError,
)
TIMEOUT_S = 30
CHUNK = 1 << 20


def main() -> None:
    args = parse()
    if args.list or not args.name:
        for kind, names in KINDS.items():
            log.info(f"{kind}: {', '.join(names)}")
        log.info(f"not available: {CITYSCAPES}")
        return
    if not is_address(args.mirror):
        raise UserError(f"--mirror {args.mirror} must be an address such as {HOST}")
    kind = kind_of(args.name, [args.kind] if args.kind else list(KINDS))
    target = args.dest / args.name
    if os.path.lexists(target):
        raise UserError(f"{target} exists already: remove it to download it again, or give another --dest")
    archive = args.dest / f"{args.name}{ENDINGS[kind]}"
    try:
        args.dest.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(archive):
            fetch(f"{args.mirror}/{kind}/datasets/{archive.name}", archive)
        check_sum(archive, expected=args.sha256)
        unpack(archive, target)
        archive.unlink()
    except OSError as error:
        raise RunFault(f"cannot write to --dest {args.dest}: {error.strerror or error}") from error
    log.info(f"unpacked to {target}")


def parse() -> argparse.Namespace:
    parser = Arguments(__doc__)
    add = parser.add_argument
    add("name", nargs="?", help="name of the data set")
    add("--list", action="store_true", help="list the data sets and exit")
    add("--dest", type=Path, default=Path("datasets"), help="folder to unpack into (datasets)")
    add("--kind", choices=sorted(KINDS), help="required for names that exist in both kinds")
    add("--sha256", help="refuse an archive with another SHA-256 sum")
    add("--mirror", default=HOST, help=f"another server with the same folders ({HOST})")
    return parser.parse_args()


def is_address(word: str) -> bool:
    try:
        address = urllib.parse.urlsplit(word)
        return address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # brackets or a port that is not a number
        return False


def kind_of(name: str, allowed: list[str]) -> str:
    """The one of the `allowed` kinds that has a data set of this name; UserError if none or both have it."""
    if name == "cityscapes":
        raise UserError(CITYSCAPES)
    kinds = [kind for kind in allowed if name in KINDS[kind]]
    if not kinds:
        what = f"the {' or '.join(allowed)} data set"
        raise UserError(plugins.unknown(what, name, {name for kind in allowed for name in KINDS[kind]}))
    if len(kinds) > 1:
        raise UserError(
            f"{name} exists as unaligned folders and as aligned files: add --kind cyclegan or --kind pix2pix"
        )
    return kinds[0]


def fetch(url: str, archive: Path) -> None:
    """Download `url`, continuing <archive>.part of an earlier attempt; RunFault if it fails."""
    part = archive.with_name(archive.name + ".part")
    try:
        _download(url, part)
    except NETWORK_ERRORS as error:
        reason = getattr(error, "reason", None) or error
        raise RunFault(
            f"cannot download {url} ({reason}): run this command again to continue, give the address of another "
            f"server as --mirror and the sum of the file as --sha256, or download it yourself into {archive.parent}"
        ) from error
    os.replace(part, archive)


def _download(url: str, part: Path) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        # a server answers so when nothing is left to send
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{done}":
            return
        part.unlink()
        raise OSError(f"{part} is not part of this file and was removed") from error
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0
        total = done + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if done else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                before, done = done, done + len(chunk)
                if total and done * 10 // total > before * 10 // total:
                    log.info(f"{100 * done // total:3d} % of {total / 1e6:.0f} MB")
    if done < total:
        raise OSError(f"the connection was lost after {done:,} of {total:,} bytes")


def check_sum(archive: Path, *, expected: str | None) -> None:
    """Record the SHA-256 sum of the archive in <archive>.sha256; RunFault if it is not the expected one."""
    try:
        with open_regular(archive) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunFault(f"{archive} cannot be read ({error.strerror}): remove it and try again") from error
    if expected and found != expected.lower():
        raise RunFault(
            f"{archive} has the SHA-256 sum {found}, not --sha256 {expected}: remove it and try again"
        )
    archive.with_name(archive.name + ".sha256").write_text(f"{found}  {archive.name}\n", encoding="utf-8")
    log.info(
        f"SHA-256 {found} ({'as expected' if expected else 'give it as --sha256 to check later downloads'})"
    )


class _ReadInParts(gzip.GzipFile):
    """A gzip file that refuses to give much at once, as tarfile asks for headers, which may be as long as they say."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"a header of {size or 0:,} bytes")
        return super().read(size)


def unpack(archive: Path, target: Path) -> None:
    """Unpack through a temporary folder, so that `target` is complete or absent."""
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                for member in zipped.infolist():
                    _check(archive, member.filename, regular=not stat.S_ISLNK(member.external_attr >> 16))
                _check_size(archive, sum(member.file_size for member in zipped.infolist()))
                zipped.extractall(temporary)
        else:
            with _ReadInParts(archive) as content, tarfile.open(fileobj=content, mode="r:") as tar:
                size = 0
                for entry in tar:
                    _check(archive, entry.name, regular=entry.isreg() or entry.isdir())
                    size += entry.size
                    _check_size(archive, size)  # before the entry is skipped, which decompresses it
                tar.extractall(temporary, filter="data")
                while content.read(CHUNK):
                    pass  # the checksum of gzip comes after the end of the tar archive
        inner = temporary / target.name
        os.replace(inner if inner.is_dir() else temporary, target)
    except DAMAGED as error:
        raise RunFault(f"{archive} is damaged ({error}): remove it and download it again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_size(archive: Path, size: int) -> None:
    free = shutil.disk_usage(archive.parent).free
    if size > free:
        raise UserError(
            f"{archive} was not unpacked: its files take {size:,} bytes, and {archive.parent} has {free:,} bytes free"
        )


def _check(archive: Path, name: str, *, regular: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if not regular or path.is_absolute() or ".." in path.parts or ":" in name:
        what = "would be written outside the folder" if regular else "is not a regular file"
        raise UserError(f"{archive} was not unpacked: its member {name} {what}")


if __name__ == "__main__":
    raise SystemExit(run(main))
