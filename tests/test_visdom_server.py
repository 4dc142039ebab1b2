"""The page's web files and how they are installed, and scripts/visdom_server.py as a command."""

import importlib.util
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
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from display_run import fake_run, options

from scripts import visdom_assets
from util.clock import Clock
from util.errors import RunFault, UserError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "visdom_server.py"
VERSION = "0.2.4"


@pytest.fixture(scope="module")
def script() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("visdom_server", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with all assets, each holding its own path."""
    folder = tmp_path / "source" / "static"
    for path in visdom_assets.asset_paths():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def run_script(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a run that ended in one, checked to be a single line and no traceback."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_the_table_holds_what_the_page_asks_for(script: types.ModuleType) -> None:
    pytest.importorskip("visdom")
    paths = visdom_assets.asset_paths()
    assert len(paths) == len(set(paths))
    page = (script.find_static() / "index.html").read_text()
    asked = set(re.findall(r"static_url\([\"']([^\"']+)", page)) - {"../user/style.css"}
    own = {"js/main.js", "css/style.css", "css/network.css"}
    assert len(asked) > 10
    assert asked - own <= set(paths)


def test_install_is_complete_only_with_the_mark_of_the_version(source: Path, tmp_path: Path) -> None:
    static = tmp_path / "static"
    assert not visdom_assets.is_complete(static, VERSION)
    visdom_assets.install(source, static, VERSION)
    assert visdom_assets.is_complete(static, VERSION)
    assert not visdom_assets.is_complete(static, "0.2.5")
    assert (static / "js/sjcl.js").read_text() == "js/sjcl.js"
    assert not list(static.rglob("*.part"))
    (static / "js/sjcl.js").unlink()
    assert not visdom_assets.is_complete(static, VERSION)


def test_an_install_that_fails_midway_leaves_no_mark(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = tmp_path / "static"
    visdom_assets.install(source, static, VERSION)
    whole = visdom_assets._put

    def disk_full(content: bytes, target: Path) -> None:
        if target.name == "sjcl.js":
            raise OSError(28, "No space left on device")
        whole(content, target)

    monkeypatch.setattr(visdom_assets, "_put", disk_full)
    with pytest.raises(RunFault, match="No space left on device"):
        visdom_assets.install(source, static, VERSION)
    assert not visdom_assets.is_complete(static, VERSION)
    assert not (static / "version.built").exists()


@pytest.mark.parametrize("name", ["assets.tar.gz", "assets.tgz", "assets.zip"])
def test_what_was_exported_can_be_given(source: Path, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "deep" / name
    visdom_assets.export(source, archive)
    with visdom_assets.from_path(archive) as given:
        found = {path: (given / path).read_text() for path in visdom_assets.asset_paths()}
    assert found == {path: path for path in found}


@pytest.mark.parametrize("given", ["source", "source/static"])
def test_a_folder_is_taken_with_and_without_static(source: Path, tmp_path: Path, given: str) -> None:
    with visdom_assets.from_path(tmp_path / given) as folder:
        assert folder == source


def test_an_archive_cannot_write_elsewhere(source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "static")
        for name in ("../evil", "/tmp/evil", "static/js/more.js"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("js/sjcl.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    with visdom_assets.from_path(archive) as folder:
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files == set(visdom_assets.asset_paths())
        assert not (folder / "js/sjcl.js").is_symlink()


def test_assets_that_are_not_enough_are_told(source: Path, tmp_path: Path) -> None:
    (source / "js/sjcl.js").unlink()
    with (
        pytest.raises(UserError, match=r"lacks 1 of \d+ files, js/sjcl\.js"),
        visdom_assets.from_path(source),
    ):
        pass
    with (
        pytest.raises(UserError, match="neither a folder nor a file"),
        visdom_assets.from_path(tmp_path / "no"),
    ):
        pass
    for name, content in {"text.tar.gz": b"hello", "cut.zip": b"PK\x03\x04"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as an archive"):
            visdom_assets.from_path(tmp_path / name).__enter__()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with (
        pytest.raises(UserError, match=r"lacks (\d+) of \1 files"),
        visdom_assets.from_path(tmp_path / "empty.zip"),
    ):
        pass


def test_export_needs_a_known_ending_and_a_place(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.tar\.gz, \.tgz, \.zip"):
        visdom_assets.export(source, tmp_path / "assets.rar")
    with pytest.raises(UserError, match="cannot be written"):
        visdom_assets.export(source, source / "js" / "sjcl.js" / "assets.zip")


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An npm that hands out what lies in the folder, and says an error where the file `refuse` is there."""
    store = tmp_path / "store"
    store.mkdir()
    for package in visdom_assets.PACKAGES:
        with tarfile.open(store / package.tarball, "w:gz") as tar:
            for inside in package.files:
                content = f"{package.name} {inside}".encode()
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


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for npm is a shell script")
class TestNpm:
    def test_brings_every_file_to_its_place(self, npm: Path) -> None:
        with visdom_assets.from_npm() as folder:
            assert (folder / "js/react-react.min.js").read_text() == "react umd/react.production.min.js"
            assert (folder / "fonts/classnames").read_text() == "classnames index.js"
            assert all((folder / path).is_file() for path in visdom_assets.asset_paths())

    def test_its_reason_is_told(self, npm: Path) -> None:
        (npm / "refuse").touch()
        with pytest.raises(RunFault, match=r"\(code ENOTFOUND\); pass --assets"):
            visdom_assets.from_npm().__enter__()

    def test_a_package_that_did_not_come_is_a_fault(self, npm: Path) -> None:
        (npm / visdom_assets.PACKAGES[0].tarball).unlink()
        with pytest.raises(RunFault, match="could not fetch"):
            visdom_assets.from_npm().__enter__()

    def test_its_patience_has_an_end(self, npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (npm.parent / "bin" / "npm").write_text("#!/bin/sh\nexec sleep 20\n")
        monkeypatch.setattr(visdom_assets, "NPM_TIMEOUT_S", 0.2)
        with pytest.raises(RunFault, match=r"in 0\.2 s"):
            visdom_assets.from_npm().__enter__()


def test_without_npm_the_other_ways_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"install npm, or pass --assets.*python -m visdom\.server"):
        visdom_assets.from_npm().__enter__()


def test_a_read_only_package_is_copied_into_the_cache(
    script: types.ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "site-packages" / "static"
    packaged.mkdir(parents=True)
    (packaged / "index.html").write_text("page")
    monkeypatch.setattr(script, "find_static", lambda: packaged)
    monkeypatch.setattr(script.os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    static = script.prepare_static(VERSION, source)
    assert static == tmp_path / "cache" / "zebrawood" / f"visdom-{VERSION}"
    assert (static / "index.html").read_text() == "page"
    assert visdom_assets.is_complete(static, VERSION)
    assert not (packaged / "version.built").exists()
    assert script.prepare_static(VERSION, None) == static  # nothing is fetched again


def test_a_writable_package_is_completed_in_place(
    script: types.ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "site-packages" / "static"
    packaged.mkdir(parents=True)
    monkeypatch.setattr(script, "find_static", lambda: packaged)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert script.prepare_static(VERSION, source) == packaged
    assert visdom_assets.is_complete(packaged, VERSION)


def test_packages_that_do_not_work_are_told(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"visdom": VERSION, "tornado": "6.6.1"}
    monkeypatch.setattr(script.metadata, "version", lambda name: versions[name])
    with pytest.raises(UserError, match=r"403 under tornado 6\.6\.1.*tornado<6\.6"):
        script.check_packages()
    versions["tornado"] = "6.5.10"
    assert script.check_packages() == VERSION

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(script.metadata, "version", missing)
    with pytest.raises(UserError, match=r"package visdom is missing.*make setup"):
        script.check_packages()


def test_the_address_to_open(script: types.ModuleType, capsys: pytest.CaptureFixture) -> None:
    assert script.address("127.0.0.1", 8097) == "http://127.0.0.1:8097"
    assert script.address("::1", 8097) == "http://[::1]:8097"
    assert capsys.readouterr().err == ""
    assert script.address("0.0.0.0", 80) == f"http://{socket.gethostname()}:80"
    assert "no password" in capsys.readouterr().err


class TestCommand:
    @pytest.fixture(autouse=True)
    def needs_visdom(self) -> None:
        pytest.importorskip("visdom")

    @pytest.fixture
    def complete_cache(self, script: types.ModuleType, source: Path, tmp_path: Path) -> str:
        """A complete copy of the page's files, so that no test asks npm for them."""
        static = tmp_path / "cache" / "zebrawood" / f"visdom-{metadata.version('visdom')}"
        shutil.copytree(script.find_static(), static)
        visdom_assets.install(source, static, metadata.version("visdom"))
        return str(tmp_path / "cache")

    def test_port_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            done = run_script("--port", port)
        assert done.returncode == 2
        message = one_sentence(done)
        assert f"port {port} of 127.0.0.1" in message
        assert "--port" in message

    def test_wrong_port_and_name(self) -> None:
        assert "--port 70000 must lie between" in one_sentence(run_script("--port", 70000))
        done = run_script("--port", free_port(), "--hostname", "no..name")
        assert done.returncode == 2
        assert "--hostname no..name" in one_sentence(done)

    def test_env_path_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        done = run_script("--port", free_port(), "--env_path", tmp_path / "file" / "envs")
        assert done.returncode == 2
        assert "--env_path" in one_sentence(done)

    def test_export(self, complete_cache: str, tmp_path: Path) -> None:
        done = run_script("--export", tmp_path / "assets.zip", XDG_CACHE_HOME=complete_cache)
        assert done.returncode == 0, done.stderr
        names = zipfile.ZipFile(tmp_path / "assets.zip").namelist()
        assert {f"static/{path}" for path in visdom_assets.asset_paths()} <= set(names)

    @pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
    def test_serves_a_run_and_ends_cleanly(self, complete_cache: str, tmp_path: Path) -> None:
        import visdom

        from util.display.backends.visdom import VisdomBackend

        port = free_port()
        command = [sys.executable, str(SCRIPT), "--port", str(port), "--env_path", str(tmp_path / "envs")]
        environment = os.environ | {"XDG_CACHE_HOME": complete_cache}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as server:
            try:
                assert server.stdout is not None
                assert f"open http://127.0.0.1:{port}" in server.stdout.readline()
                run = fake_run(tmp_path)
                backend = VisdomBackend(options(display_port=port), run, images_per_epoch=8)
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
