"""Building the library of C++ functions, once per machine, and checking a library that was built before.

The library is kept in $XDG_CACHE_HOME/zebrawood/native (or ~/.cache/zebrawood/native). Its name is a hash of the
sources, the flags, the compiler and the processor, and its last bytes are a hash of the others: loading a file that was
cut would end the process with a bus error.
"""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from util import log
from util.cache_folder import cache_folder

SOURCES = Path(__file__).parent / "csrc"
FLAGS = "-std=c++17 -O3 -march=native -fno-math-errno -fopenmp -shared -fPIC -Wno-psabi".split()
BUILD_TIMEOUT_S = 300
RETRY_AFTER_S = 24 * 3600  # a failure of the compiler is remembered for this time
# in the output of a compiler that was killed or had no space; the next process tries again
TEMPORARY = re.compile("signal|killed|memory|no space", re.IGNORECASE)
DIGEST_BYTES = 32
WRITABLE_BY_OTHERS = 0o022
# Runs a command until its end or until the pipe on standard input is closed, which also happens if this process is
# killed; then it kills the whole process group.
GUARDED = 'exec 3<&0; (cat <&3; kill -KILL 0) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'


class BuildError(Exception):
    """Why there is no library, in one sentence."""


def built_library() -> Path:
    """The library, which is built if the cache has no intact one.

    Raises:
        BuildError: it cannot be built, or other users can write to the cache folder.
        OSError: the cache folder cannot be written.
    """
    compiler = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    if shutil.which(compiler[0]) is None:
        raise BuildError(f"there is no C++ compiler {compiler[0]}; install one, or set CXX to its path")
    folder = cache_folder("native")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_private(folder):
        raise BuildError(
            f"other users can write to {folder}, and a library is code: remove the folder, or set XDG_CACHE_HOME to "
            "a folder of your own"
        )
    target = folder / f"native-{_key(compiler)}.so"
    if not _is_intact(target):
        with _locked(folder):
            if not _is_intact(target):  # another process may have built it in the meantime
                _build(compiler, target)
    return target


def _key(compiler: list[str]) -> str:
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]pp")))
    words = " ".join((*compiler, *FLAGS, platform.machine(), _processor()))
    return hashlib.blake2b(sources + words.encode(), digest_size=16).hexdigest()


def _processor() -> str:
    """What -march=native depends on: machines with different processors may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _is_private(path: Path) -> bool:
    """Whether only this user and root can have written to a file or folder."""
    state = path.stat()
    return state.st_uid in (0, os.geteuid()) and not state.st_mode & WRITABLE_BY_OTHERS


def _is_intact(target: Path) -> bool:
    if not (target.is_file() and _is_private(target)):
        return False
    content = target.read_bytes()
    return content[-DIGEST_BYTES:] == _digest(content[:-DIGEST_BYTES])


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder, which the system releases if this process is killed."""
    import fcntl  # not on Windows

    descriptor = os.open(folder, os.O_RDONLY)
    end = time.monotonic() + BUILD_TIMEOUT_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise BuildError(f"another process has not finished building in {folder}") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _build(compiler: list[str], target: Path) -> None:
    failed = target.with_suffix(".failed")
    if failed.exists() and abs(time.time() - failed.stat().st_mtime) < RETRY_AFTER_S:
        raise BuildError(f"the C++ compiler failed earlier; {failed} has its output, remove it to try again")
    for abandoned in target.parent.glob("build-*"):  # nobody else builds while this process holds the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    if target.exists():
        log.info(f"{target} is damaged, so it is built again")
    log.info("building the C++ functions for the CPU, once on this machine; this takes about 20 s")
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as folder:
        built = Path(folder, target.name)
        sources = [str(path) for path in sorted(SOURCES.glob("*.cpp"))]
        command = [*compiler, *FLAGS, *sources, "-o", str(built)]
        code, output = _run(command, folder)
        if code:
            if code < 0 or TEMPORARY.search(output):
                raise BuildError(f"the C++ compiler was stopped ({_reason(output) or f'signal {-code}'})")
            failed.write_text(f"{shlex.join(command)}\nexit code {code}\n{output}")
            raise BuildError(f"the C++ compiler failed ({_reason(output)}); {failed} has its output")
        content = built.read_bytes()
        built.write_bytes(content + _digest(content))
        built.chmod(0o600)
        built.replace(target)
    failed.unlink(missing_ok=True)


def _run(command: list[str], folder: str) -> tuple[int, str]:
    """Exit code and output of a compiler that writes its temporary files to `folder`; it never outlives this process."""
    end, pipe = os.pipe()
    environment = os.environ | {"TMPDIR": folder}
    guarded = ["sh", "-c", GUARDED, "sh", *command]
    streams = {"stdin": end, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        process = subprocess.Popen(guarded, env=environment, start_new_session=True, **streams)  # type: ignore[call-overload]
    except OSError:
        os.close(pipe)
        raise
    finally:
        os.close(end)
    with process:
        try:
            output = process.communicate(timeout=BUILD_TIMEOUT_S)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            raise BuildError(f"the C++ compiler did not finish in {BUILD_TIMEOUT_S} s") from None
        finally:
            os.close(pipe)
    return process.returncode, output


def _reason(output: str) -> str:
    """The first line of a compiler's output that reports an error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), "".join(lines[:1]))[:200]
