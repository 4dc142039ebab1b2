"""A lock for the folder of a run, so that two processes never train under one name."""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from util import distributed, files, log
from util.errors import RunFault, UserError

REFRESH_S = 60
SILENT_S = 600  # a process of another machine that has not refreshed its lock for so long is taken for dead
CLAIM_S = 5  # a claim is held for milliseconds; an older one is left from a killed process


class RunLock:
    """Inside its context, only this process and the other ranks of its run change the folder of the run.

    The lock is a file beside the folder, `.<name>.lock`, because the folder may be renamed. It names the process by
    id, start time, host and machine. A lock whose process has ended is replaced. The processes of another machine or
    container cannot be seen, so there the time of the last refresh() counts. Rank 0 takes the lock for all.
    """

    def __init__(self, checkpoints: Path, name: str) -> None:
        self.name, self.folder = name, checkpoints / name
        self.path = self.folder.with_name(f".{self.folder.name}.lock")
        pid = os.getpid()
        self._own: dict[str, Any] = {"pid": pid, "started": _start_time(pid), **_here()}
        self._refreshed = time.monotonic()
        self._made: list[Path] = []  # the folders that were made for the lock, the innermost first

    def __enter__(self) -> "RunLock":
        """Take the lock.

        Raises:
            UserError: another process trains in the folder; every rank raises it.
            RunFault: the lock cannot be written.
        """
        refusal = ""
        if log.is_main():
            try:
                self._take()
            except RunFault as error:
                raise RunFault(f"cannot lock the run {self.folder}: {error}") from error
            except UserError as error:
                refusal = str(error)
        if refusal := distributed.gather(refusal)[0]:
            raise UserError(refusal)
        return self

    def __exit__(self, *error: object) -> None:
        if log.is_main() and self._read() == self._own:
            self.path.unlink(missing_ok=True)
            with suppress(OSError):  # a folder is not empty, because the run has begun
                for folder in self._made:
                    folder.rmdir()

    def refresh(self) -> None:
        """Show other machines, at most once a minute, that this process is alive; called after every step.

        Raises:
            RunFault: another process has taken the lock.
        """
        if not log.is_main() or time.monotonic() - self._refreshed < REFRESH_S:
            return
        self._refreshed = time.monotonic()
        holder = self._read()
        if holder and holder != self._own:
            raise RunFault(
                f"process {holder['pid']} on {holder['host']} has taken over the run in {self.folder}, because this "
                "process gave no sign of life for a long time; nothing more is saved here"
            )
        with suppress(OSError):
            os.utime(self.path)

    def _take(self) -> None:
        self._made = [folder for folder in self.path.parents if not folder.exists()]
        files.make_folder(self.path.parent)
        with _claimed(self.path) as now:
            holder = self._read()
            if holder and _is_alive(holder, now - self.path.stat().st_mtime):
                raise UserError(
                    f"--name {self.name} is being trained by process {holder['pid']} on {holder['host']}: wait "
                    f"for its end, stop it, or choose another --name (if there is no such process, remove {self.path})"
                )
            files.write_atomically(self.path, json.dumps(self._own).encode())

    def _read(self) -> dict[str, Any] | None:
        """The process that the lock names; None if there is no lock, or a damaged one."""
        try:
            if not self.path.is_file():
                return None
            with self.path.open("rb") as file:
                holder = json.loads(file.read(4096))
            return holder if holder.keys() == self._own.keys() and type(holder["pid"]) is int else None
        except (OSError, ValueError, AttributeError, RecursionError):
            return None


@contextmanager
def _claimed(path: Path) -> Iterator[float]:
    """Inside the context, no other process reads or changes a lock; gives the present time of the file system.

    A file that can be created only once works on every file system, also on those that have no other locks.
    """
    claim, other, since = path.with_suffix(".claim"), (0, 0), 0.0
    while True:
        try:
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            break
        except FileExistsError:
            with suppress(FileNotFoundError):
                state = claim.stat()
                if other != (state.st_ino, state.st_mtime_ns):  # another process has it now
                    other, since = (state.st_ino, state.st_mtime_ns), time.monotonic()
                elif time.monotonic() > since + CLAIM_S:
                    claim.unlink()
            time.sleep(0.02)
        except OSError as error:
            raise files.cannot_write(claim, error) from error
    try:
        yield claim.stat().st_mtime
    finally:
        claim.unlink(missing_ok=True)


def _is_alive(holder: dict[str, Any], silent_s: float) -> bool:
    """Whether the process that took a lock may still run; `silent_s` seconds have passed since its last refresh."""
    if holder["machine"] == _here()["machine"]:
        started = _start_time(holder["pid"])
        if started is not None:
            return started == holder["started"]
    return silent_s < SILENT_S


def _start_time(pid: int) -> str | None:
    """When a process of this machine started, which tells apart two processes with the same id.

    It is empty if the process has ended, and None if the system does not tell.
    """
    if os.name != "posix":
        return None
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return ""
    except PermissionError:
        pass  # a process of another user
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if state in "ZX" else fields[18]  # the 22nd field of proc(5)


def _here() -> dict[str, str]:
    """The name of the host; and the machine or container whose processes are visible here, which is not its name alone."""
    host = platform.node()
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink(
            "/proc/self/ns/pid"
        )
    except OSError:
        machine = host
    return {"host": host, "machine": machine}
