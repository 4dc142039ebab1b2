"""How the library of C++ functions is built, kept and checked, with small stand-ins for the compiler."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from compiled_functions import compiled
from conftest import names_all

from models.nets.cpu import build
from models.nets.cpu import library as native

pytestmark = [compiled, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]
Compiler = Callable[[str], None]
Start = Callable[[], tuple[bool, str]]
WORKS = 'for out; do :; done\nexec c++ -shared -fPIC -x c++ /dev/null -o "$out"\n'
DEADLINE_S = 60.0  # a loaded machine; nothing below needs more than a second


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compiler]:
    """Write the shell script that is the compiler of this test; each of its runs adds a line to the file `runs`."""
    script = tmp_path / "own-c++"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", str(script))

    def write(commands: str) -> None:
        script.write_text(f"#!/bin/sh\necho $$ >> {tmp_path / 'runs'}\n{commands}")
        script.chmod(0o755)

    yield write
    native.library.cache_clear()


@pytest.fixture
def start(compiler: Compiler, capfd: pytest.CaptureFixture) -> Start:
    """What a new process does: whether it has a library, and what it says."""

    def load() -> tuple[bool, str]:
        native.library.cache_clear()
        found = native.library() is not None
        out, err = capfd.readouterr()
        assert len(err.splitlines()) == (0 if found else 1), err
        return found, out + err

    return load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "zebrawood" / "native"


def runs(tmp_path: Path) -> list[int]:
    """The process numbers of the compilers so far."""
    file = tmp_path / "runs"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def in_child(work: Callable[[], object]) -> int:
    """The process number of a fork that does the work and exits with 0 if it is true."""
    child = os.fork()
    if not child:
        signal.signal(
            signal.SIGTERM, signal.SIG_DFL
        )  # an earlier test may have left a handler, which would raise
        native.library.cache_clear()
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(1)
    return child


def test_two_processes_build_once(tmp_path: Path, compiler: Compiler, folder: Path) -> None:
    compiler(f"sleep 0.5\n{WORKS}")
    children = [in_child(lambda: native.library() is not None) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    (built,) = folder.iterdir()
    assert built.suffix == ".so" and len(runs(tmp_path)) == 1


def test_a_failed_build_is_told_and_remembered_for_a_day(
    tmp_path: Path, compiler: Compiler, start: Start, folder: Path
) -> None:
    compiler("echo 'error: no such luck' >&2\nexit 1\n")
    found, said = start()
    (marker,) = folder.iterdir()
    assert not found and "no such luck" in marker.read_text()
    assert "no such luck" in said and str(marker) in said
    assert names_all(start()[1], [marker]) and len(runs(tmp_path)) == 1
    yesterday = time.time() - build.RETRY_AFTER_S - 60
    os.utime(marker, (yesterday, yesterday))
    compiler(WORKS)
    assert start()[0] and len(runs(tmp_path)) == 2 and not marker.exists()


@pytest.mark.parametrize(
    "end",
    ["kill -9 $$\n", "echo 'fatal error: Killed signal terminated program cc1plus'\nexit 1\n"],
    ids=["the driver", "a part of it"],
)
def test_a_killed_compiler_is_not_remembered(
    tmp_path: Path, compiler: Compiler, start: Start, folder: Path, end: str
) -> None:
    compiler(end)
    assert not start()[0] and list(folder.iterdir()) == []
    compiler(WORKS)
    assert start()[0]


def test_a_compiler_that_takes_too_long_is_ended(
    tmp_path: Path, compiler: Compiler, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(f"sleep 600 & echo $! >> {tmp_path / 'runs'}\nwait\n")
    monkeypatch.setattr(build, "BUILD_TIMEOUT_S", 1)
    assert names_all(start()[1], ["1 s"]) and list(folder.iterdir()) == []
    wait_until(lambda: len(runs(tmp_path)) == 2 and not any(map(is_running, runs(tmp_path))))
    compiler(WORKS)
    monkeypatch.setattr(build, "BUILD_TIMEOUT_S", 300)
    assert start()[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_build_leaves_neither_a_compiler_nor_folders(
    tmp_path: Path, compiler: Compiler, start: Start, folder: Path, number: int
) -> None:
    compiler(f"sleep 600 & echo $! >> {tmp_path / 'runs'}\nwait\n")
    builder = in_child(native.library)
    wait_until(lambda: len(runs(tmp_path)) == 2)
    os.kill(builder, number)
    os.waitpid(builder, 0)
    wait_until(lambda: not any(map(is_running, runs(tmp_path))))
    compiler(WORKS)
    assert start()[0]
    (built,) = folder.iterdir()
    assert built.suffix == ".so"


def test_a_damaged_library_is_built_again(
    tmp_path: Path, compiler: Compiler, start: Start, folder: Path
) -> None:
    compiler(WORKS)
    assert start()[0]
    (built,) = folder.iterdir()
    whole = built.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    foreign = Path(os.__file__).read_bytes()
    damages = [b"", b"\x7fELF", whole[:4096], whole[:-1], bytes(flipped), bytes(len(whole)), foreign]
    for count, damage in enumerate(damages, start=2):
        built.unlink()  # this process has loaded the file and must not see it change
        built.write_bytes(damage)
        found, said = start()
        assert found and str(built) in said and len(runs(tmp_path)) == count
        assert built.stat().st_size == len(whole)
    assert start() == (True, "") and len(runs(tmp_path)) == count


def test_a_library_that_others_could_have_written_is_not_loaded(
    tmp_path: Path, compiler: Compiler, start: Start, folder: Path
) -> None:
    compiler(WORKS)
    assert start()[0]
    (built,) = folder.iterdir()
    built.chmod(0o666)
    assert start()[0] and len(runs(tmp_path)) == 2 and built.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)
    found, said = start()
    assert not found and names_all(said, [folder, "XDG_CACHE_HOME"]) and len(runs(tmp_path)) == 2


def test_a_folder_that_cannot_be_made_and_a_missing_compiler_are_told(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    assert names_all(start()[1], ["no-such-compiler", "CXX"])
    monkeypatch.setenv("CXX", "c++")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert names_all(start()[1], [tmp_path / "file"])
