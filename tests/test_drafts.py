"""Two writers of one file never mix their data, and what killed writers leave is removed."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import IO

from util import files


def test_two_writers_of_one_file_do_not_share_a_draft(tmp_path: Path) -> None:
    """While one writer is at work another replaces the file: each leaves it whole."""
    path = tmp_path / "latest_state.pt"

    def first(file: IO[bytes]) -> None:
        file.write(b"a" * 50_000)
        file.flush()
        files.write_atomically(path, lambda other: other.write(b"b" * 20_000))
        assert path.read_bytes() == b"b" * 20_000
        file.write(b"a" * 50_000)
        file.flush()
        assert path.read_bytes() == b"b" * 20_000, "the first writer wrote into the finished file"

    files.write_atomically(path, first)
    assert path.read_bytes() == b"a" * 100_000
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def write_for_ever(path: Path) -> None:
    def slowly(file: IO[bytes]) -> None:
        file.write(b"half")
        file.flush()
        path.with_name("started").touch()
        time.sleep(60)

    files.write_atomically(path, slowly)


def test_the_drafts_of_killed_writers_are_removed(tmp_path: Path) -> None:
    """Of several, too: the second one was written while the first was locked."""
    path = tmp_path / "state"
    context = multiprocessing.get_context("fork")
    writers = []
    for _ in range(2):
        (tmp_path / "started").unlink(missing_ok=True)
        writers.append(context.Process(target=write_for_ever, args=(path,)))
        writers[-1].start()
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
    (tmp_path / "started").unlink()
    files.write_atomically(path, b"whole")  # while both write
    assert path.read_bytes() == b"whole" and len(list(tmp_path.iterdir())) == 3
    for writer in writers:
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
    files.write_atomically(path, b"again")
    assert path.read_bytes() == b"again" and [found.name for found in tmp_path.iterdir()] == ["state"]


def write_often(path: Path, letter: bytes) -> None:
    for _ in range(300):
        files.write_atomically(path, letter * 100_000)


def test_readers_see_whole_files_while_two_processes_write(tmp_path: Path) -> None:
    path = tmp_path / "state"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(path, letter)) for letter in (b"a", b"b")]
    files.write_atomically(path, b"a" * 100_000)
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        data = path.read_bytes()
        assert len(data) == 100_000 and len(set(data)) == 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [found.name for found in tmp_path.iterdir()] == ["state"]
