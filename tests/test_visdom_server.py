"""The web files of visdom's page, their installation, and scripts/visdom_server.py as a command."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import types
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT, load_script, names_all, refused
from display_run import fake_run, options

from scripts import visdom_assets
from util.clock import Clock
from util.errors import RunFault, UserError

SCRIPT = "scripts/visdom_server.py"
VERSION = "0.2.4"
needs_visdom = pytest.mark.skipif(
    "not __import__('importlib').util.find_spec('visdom')", reason="needs visdom"
)
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="uses a shell script or POSIX signals")


@pytest.fixture(scope="module")
def script() -> types.ModuleType:
    return load_script(SCRIPT)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of all web files, each of which contains its own path."""
    folder = tmp_path / "source" / "static"
    for path in visdom_assets.asset_paths():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@needs_visdom
def test_the_table_holds_all_files_that_the_page_requests(script: types.ModuleType) -> None:
    paths = visdom_assets.asset_paths()
    assert len(paths) == len(set(paths))
    page = (script.find_static() / "index.html").read_text()
    requested = set(re.findall(r"static_url\([\"']([^\"']+)", page)) - {"../user/style.css"}
    packaged = {"js/main.js", "css/style.css", "css/network.css"}
    assert len(requested) > 10
    assert requested - packaged <= set(paths)


def test_an_install_is_complete_only_with_the_stamp_of_the_version(source: Path, tmp_path: Path) -> None:
    static = tmp_path / "static"
    assert not visdom_assets.is_complete(static, VERSION)
    visdom_assets.install(visdom_assets.from_path(source), static, VERSION)
    assert visdom_assets.is_complete(static, VERSION)
    assert not visdom_assets.is_complete(static, "0.2.5")
    assert (static / "js/sjcl.js").read_text() == "js/sjcl.js"
    assert not list(static.rglob("*.part"))
    (static / "js/sjcl.js").unlink()
    assert not visdom_assets.is_complete(static, VERSION)


def test_an_install_that_fails_leaves_no_stamp(source: Path, tmp_path: Path) -> None:
    static = tmp_path / "static"
    visdom_assets.install(visdom_assets.from_path(source), static, VERSION)
    (static / "js/sjcl.js").unlink()
    (static / "js/sjcl.js").mkdir()  # a folder, which no file can replace
    with refused(static / "js/sjcl.js", error=RunFault):
        visdom_assets.install(visdom_assets.from_path(source), static, VERSION)
    assert not (static / "version.built").exists()


@pytest.mark.parametrize("name", ["assets.tar.gz", "assets.tgz", "assets.zip"])
def test_an_exported_archive_can_be_installed(source: Path, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "deep" / name
    visdom_assets.export(source, archive)
    assert visdom_assets.from_path(archive) == {path: path.encode() for path in visdom_assets.asset_paths()}


def test_a_folder_may_contain_static_or_be_it(source: Path) -> None:
    for given in (source, source.parent):
        files = visdom_assets.from_path(given)
        assert files == {path: path.encode() for path in visdom_assets.asset_paths()}


@pytest.mark.parametrize(
    ("name", "kind"), [("../evil", "file"), ("/tmp/evil", "file"), ("js/sjcl.js", "link")]
)
def test_an_archive_cannot_write_or_point_elsewhere(
    source: Path, tmp_path: Path, name: str, kind: str
) -> None:
    archive = tmp_path / "deep" / "evil.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "static")
        member = tarfile.TarInfo(name)
        if kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(member, io.BytesIO())
    with suppress(UserError):
        assert visdom_assets.from_path(archive)["js/sjcl.js"] == b"js/sjcl.js"
    assert not list(tmp_path.rglob("evil")) and not Path("/tmp/evil").exists()


def test_incomplete_and_unreadable_assets_are_refused(source: Path, tmp_path: Path) -> None:
    (source / "js/sjcl.js").unlink()
    (tmp_path / "text.tar.gz").write_bytes(b"hello")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    total = len(visdom_assets.asset_paths())
    named = {source: f"1 of {total}", tmp_path / "empty.zip": f"{total} of {total}"}
    named |= {tmp_path / "none": "", tmp_path / "text.tar.gz": "", tmp_path / "cut.zip": ""}
    for path, count in named.items():
        with refused(f"--assets {path}", *count.split("  ")):
            visdom_assets.from_path(path)


def test_an_export_needs_a_known_ending_and_a_writable_place(source: Path, tmp_path: Path) -> None:
    with refused(f"--export {tmp_path}/assets.rar", ".tar.gz, .tgz, .zip"):
        visdom_assets.export(source, tmp_path / "assets.rar")
    archive = source / "js" / "sjcl.js" / "assets.zip"
    with refused(f"--export {archive}"):
        visdom_assets.export(source, archive)


# ---------------------------------------------------------------------- npm


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An npm that copies the packages of this folder, or fails if the folder contains the file `refuse`."""
    store = tmp_path / "store"
    store.mkdir()
    for package, files in visdom_assets.PACKAGES.items():
        with tarfile.open(store / visdom_assets.tarball(package), "w:gz") as tar:
            for inside in files:
                content = f"{package} {inside}".encode()
                info = tarfile.TarInfo(f"package/{inside}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\nif [ -e {store}/refuse ]; then echo "npm error code ENOTFOUND" >&2; exit 1; fi\n'
        f'while [ "$1" != --pack-destination ]; do shift; done\ncp {store}/*.tgz "$2"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    yield store


@needs_posix
def test_npm_puts_every_file_in_its_place(npm: Path) -> None:
    files = visdom_assets.from_npm()
    assert files["js/react-react.min.js"] == b"react@16.2.0 umd/react.production.min.js"
    assert files["fonts/classnames"] == b"classnames@2.2.5 index.js"
    assert sorted(files) == sorted(visdom_assets.asset_paths())


@needs_posix
@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda store: (store / "refuse").touch(), ["code ENOTFOUND"]),
        (lambda store: (store / "sjcl-1.0.7.tgz").unlink(), []),
        (lambda store: (store.parent / "bin/npm").write_text("#!/bin/sh\nexec sleep 20\n"), ["0.2"]),
    ],
    ids=["refuses", "lacks a package", "hangs"],
)
def test_a_failure_of_npm_names_the_reason(
    npm: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object], named: list[str]
) -> None:
    spoil(npm)
    monkeypatch.setattr(visdom_assets, "NPM_TIMEOUT_S", 0.2 if "0.2" in named else 60)
    with refused("npm", "--assets", *named, error=RunFault):
        visdom_assets.from_npm()


def test_without_npm_the_alternatives_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused("npm", "--assets", "python -m visdom.server"):
        visdom_assets.from_npm()


# ---------------------------------------------------------------------- the server


@pytest.mark.parametrize("read_only", [True, False])
def test_web_files_are_installed_in_the_package_or_in_the_cache(
    script: types.ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    packaged = tmp_path / "site-packages" / "static"
    packaged.mkdir(parents=True)
    (packaged / "index.html").write_text("page")
    monkeypatch.setattr(script, "find_static", lambda: packaged)
    monkeypatch.setattr(script.os, "access", lambda path, mode: not read_only)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    static = script.prepare_static(VERSION, source)
    assert static == (tmp_path / "cache/zebrawood" / f"visdom-{VERSION}" if read_only else packaged)
    assert (static / "index.html").read_text() == "page"
    assert visdom_assets.is_complete(static, VERSION)
    assert (packaged / "version.built").exists() != read_only
    assert script.prepare_static(VERSION, None) == static  # without a second download


def test_packages_that_do_not_work_are_refused(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"visdom": VERSION, "tornado": "6.6.1"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(script.metadata, "version", version)
    with refused("tornado 6.6.1", "tornado<6.6"):
        script.check_packages()
    versions["tornado"] = "6.5.10"
    assert script.check_packages() == VERSION
    del versions["visdom"]
    with refused("visdom", "make setup"):
        script.check_packages()


def test_the_address_to_open(script: types.ModuleType, capsys: pytest.CaptureFixture) -> None:
    assert script.address("127.0.0.1", 8097) == "http://127.0.0.1:8097"
    assert script.address("::1", 8097) == "http://[::1]:8097"
    assert capsys.readouterr().err == ""
    assert script.address("0.0.0.0", 80) == f"http://{socket.gethostname()}:80"
    assert "password" in capsys.readouterr().err


@pytest.fixture
def complete_cache(
    script: types.ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete copy of the web files in the cache, so that no test calls npm."""
    static = tmp_path / "cache" / "zebrawood" / f"visdom-{metadata.version('visdom')}"
    shutil.copytree(script.find_static(), static)
    visdom_assets.install(visdom_assets.from_path(source), static, metadata.version("visdom"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@needs_visdom
def test_mistakes_are_reported_in_one_sentence(
    tmp_path: Path, run_script: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, envs = other.getsockname()[1], tmp_path / "file" / "envs"
        for words in (
            ["--port", taken],
            ["--port", 70000],
            ["--hostname", "no..name", "--port", free_port()],
            ["--env_path", envs, "--port", free_port()],
        ):
            assert run_script(SCRIPT, *words) == 2
            error = capsys.readouterr().err
            assert error.count("\n") == 1 and names_all(error, [f"{words[0]} {words[1]}"])


@needs_visdom
def test_the_command_exports_the_web_files(
    complete_cache: None, tmp_path: Path, run_script: Callable[..., int]
) -> None:
    assert run_script(SCRIPT, "--export", tmp_path / "assets.zip") == 0
    with zipfile.ZipFile(tmp_path / "assets.zip") as exported:
        assert {f"static/{path}" for path in visdom_assets.asset_paths()} <= set(exported.namelist())


@needs_visdom
@needs_posix
def test_serves_a_run_and_ends_cleanly(complete_cache: None, tmp_path: Path) -> None:
    import visdom

    from util.display.backends.visdom import VisdomBackend

    port = free_port()
    command = [sys.executable, SCRIPT, "--port", str(port), "--env_path", str(tmp_path / "envs")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        try:
            assert server.stdout is not None
            assert f"open http://127.0.0.1:{port}" in server.stdout.readline()
            backend = VisdomBackend(options(display_port=port), fake_run(tmp_path), images_per_epoch=8)
            backend.scalars({"G_A": 0.5}, Clock(images=10))
            backend.close()
            client = visdom.Visdom(port=port, use_incoming_socket=False, raise_exceptions=True)
            window = client.get_window_data("run_losses")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                page = answer.read().decode()
        finally:
            time.sleep(0.2)
            server.send_signal(signal.SIGTERM)
            output, errors = server.communicate(timeout=20)
    assert '"y": [0.5]' in window
    assert "setInterval" in page and "jquery.min.js" in page
    assert server.returncode == 0
    assert "server ended" in output
    assert "Traceback" not in errors
