"""The web files that visdom's page needs, and how they get into its `static` folder.

visdom's package does not contain them: its server downloads them at the first start and fails where there is
no internet. All of them are part of npm packages, so npm, or its mirror in a company network, can bring them.
"""

import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from util.errors import RunFault, UserError
from util.files import write_atomically
from util.log import info

NPM_TIMEOUT_S = 600
STAMP = "version.built"  # with this file visdom considers the folder complete
Files = dict[str, bytes]  # path below visdom's `static` folder -> content
SUFFIXES = {".tar.gz": "gztar", ".tgz": "gztar", ".zip": "zip"}
ELSEWHERE = "give --assets FILE, which --export FILE writes on a machine with internet"
# package and version, path inside it, paths below visdom's `static` folder
TABLE = """
jquery 3.1.1              dist/jquery.min.js                 js/jquery.min.js
bootstrap 3.3.7           dist/js/bootstrap.min.js           js/bootstrap.min.js
bootstrap 3.3.7           dist/css/bootstrap.min.css         css/bootstrap.min.css
bootstrap 3.3.7           dist/{glyphs}.eot                  {glyphs}.eot
bootstrap 3.3.7           dist/{glyphs}.woff                 {glyphs}.woff
bootstrap 3.3.7           dist/{glyphs}.woff2                {glyphs}.woff2
bootstrap 3.3.7           dist/{glyphs}.ttf                  {glyphs}.ttf
bootstrap 3.3.7           dist/{glyphs}.svg                  {glyphs}.svg {glyphs}.svg#glyphicons_halflingsregular
react 16.2.0              umd/react.production.min.js        js/react-react.min.js
react-dom 16.2.0          umd/react-dom.production.min.js    js/react-dom.min.js
react-modal 3.1.10        dist/react-modal.min.js            js/react-modal.min.js
plotly.js-dist-min 2.11.1 plotly.min.js                      js/plotly-plotly.min.js
sjcl 1.0.7                sjcl.js                            js/sjcl.js
layout-bin-packer 1.4.0   dist/layout-bin-packer.js          js/layout_bin_packer.js
layout-bin-packer 1.4.0   dist/layout-bin-packer.js.map      js/layout-bin-packer.js.map
d3 3.5.17                 d3.min.js                          js/d3.v3.min.js
d3-selection-multi 1.0.1  build/d3-selection-multi.js        js/d3-selection-multi.v1.js
save-svg-as-png 1.4.17    lib/saveSvgAsPng.js                js/saveSvgAsPng.js
react-resizable 1.4.6     css/styles.css                     css/react-resizable-styles.css
react-grid-layout 0.16.3  css/styles.css                     css/react-grid-layout-styles.css
classnames 2.2.5          index.js                           fonts/classnames
""".replace("{glyphs}", "fonts/glyphicons-halflings-regular")
MATHJAX = """
MathJax.js config/Safe.js config/TeX-AMS-MML_HTMLorMML.js extensions/Safe.js jax/output/SVG/jax.js
jax/output/SVG/config.js jax/output/SVG/fonts/TeX/fontdata.js jax/output/SVG/fonts/TeX/Size1/Regular/Main.js
"""


# npm's name@version -> path inside the package -> paths below `static`
PACKAGES = {"mathjax@2.7.5": {file: [f"js/mathjax/2.7.5/{file}"] for file in MATHJAX.split()}}
for _name, _version, _inside, *_paths in map(str.split, TABLE.strip().splitlines()):
    PACKAGES.setdefault(f"{_name}@{_version}", {})[_inside] = _paths


def tarball(package: str) -> str:
    """The file that `npm pack` writes for name@version."""
    return package.replace("@", "-") + ".tgz"


def asset_paths() -> list[str]:
    """The paths below `static` of all web files."""
    return [path for files in PACKAGES.values() for paths in files.values() for path in paths]


def is_complete(static: Path, version: str) -> bool:
    """Whether `static` holds every web file and the stamp of this version of visdom."""
    stamp = static / STAMP
    if not stamp.is_file() or stamp.read_text().strip() != version:
        return False
    return all((static / path).is_file() for path in asset_paths())


def install(files: Files, static: Path, version: str) -> None:
    """Write the web files into `static`, and the stamp last."""
    (static / STAMP).unlink(missing_ok=True)
    for path, content in files.items():
        write_atomically(static / path, content)
    write_atomically(static / STAMP, version.encode())


def export(static: Path, archive: Path) -> None:
    """Pack the web files of a complete `static` folder into `archive`, for a machine without internet."""
    kind = next((kind for suffix, kind in SUFFIXES.items() if archive.name.lower().endswith(suffix)), None)
    if kind is None:
        raise UserError(f"--export {archive} must end in one of: {', '.join(SUFFIXES)}")
    with tempfile.TemporaryDirectory() as folder:
        for path in asset_paths():
            write_atomically(Path(folder, "static", path), (static / path).read_bytes())
        packed = shutil.make_archive(str(Path(folder, "assets")), kind, root_dir=folder, base_dir="static")
        try:
            archive.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(packed, archive)
        except OSError as error:
            raise UserError(f"--export {archive} cannot be written: {error.strerror}") from error


def from_path(given: Path) -> Files:
    """The web files in the folder or archive of --assets; UserError if it cannot be read or lacks some."""
    try:
        found = {str(PurePosixPath(name)).removeprefix("static/"): data for name, data in _contents(given)}
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(
            f"--assets {given} cannot be unpacked as a .tar.gz or .zip archive: {str(error).splitlines()[0]}"
        ) from error
    paths = asset_paths()
    if missing := [path for path in paths if path not in found]:
        raise UserError(
            f"--assets {given} lacks {len(missing)} of {len(paths)} files, such as {missing[0]}: "
            "make it with --export FILE.tar.gz on a machine with internet"
        )
    return {path: found[path] for path in paths}


def _contents(given: Path) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the regular files in a folder or an archive, read without unpacking it."""
    if given.is_dir():
        for file in filter(Path.is_file, given.rglob("*")):
            yield file.relative_to(given).as_posix(), file.read_bytes()
    elif zipfile.is_zipfile(given):
        with zipfile.ZipFile(given) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    else:
        with tarfile.open(given) as tar:
            yield from ((member.name, _member(tar, member)) for member in tar if member.isfile())


def _member(tar: tarfile.TarFile, file: str | tarfile.TarInfo) -> bytes:
    return tar.extractfile(file).read()  # type: ignore[union-attr]  # a regular file


def from_npm() -> Files:
    """The web files, downloaded by npm from the mirror that it is configured for."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            "visdom's page needs web files that its package does not contain: install npm, or "
            f"{ELSEWHERE}, or start `python -m visdom.server` once with internet"
        )
    info("visdom: downloading the web files of its page with npm, only this once")
    with tempfile.TemporaryDirectory() as folder:
        _npm_pack(npm, Path(folder))
        found: Files = {}
        for package, files in PACKAGES.items():
            with tarfile.open(Path(folder, tarball(package))) as tar:
                for inside, paths in files.items():
                    found |= dict.fromkeys(paths, _member(tar, f"package/{inside}"))
        return found


def _npm_pack(npm: str, folder: Path) -> None:
    quick = ["--loglevel=error", "--ignore-scripts", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    command = [npm, "pack", *quick, "--pack-destination", str(folder), *PACKAGES]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise RunFault(
            f"npm did not download visdom's web files in {NPM_TIMEOUT_S} s: {ELSEWHERE}"
        ) from error
    if done.returncode or not all((folder / tarball(package)).is_file() for package in PACKAGES):
        errors = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if "error" in line]
        reason = errors[0] if errors else f"exit code {done.returncode}"
        raise RunFault(f"npm could not download visdom's web files ({reason}): {ELSEWHERE}")
