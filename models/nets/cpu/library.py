"""Building and calling the C++ part: once a machine, with the system's compiler, without torch's headers.

The library lies in $XDG_CACHE_HOME, or ~/.cache, under zebrawood, by what it was made of: sources, flags,
compiler and processor. Where it cannot be built, a file beside it remembers that, and callers go on with
torch's own functions.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from util import log
from util.cache_folder import cache_folder

SOURCES = Path(__file__).parent / "csrc"
FLAGS = "-std=c++17 -O3 -march=native -fno-math-errno -fopenmp -shared -fPIC -Wno-psabi".split()
TYPES = {torch.float32: "float", torch.float64: "double"}
BUILD_TIMEOUT_S = 300


class Shape(ctypes.Structure):
    """Sizes of a convolution: images (N, C, H, W), K output channels, and its kind."""

    _fields_ = [(name, ctypes.c_long) for name in ("N", "C", "K", "H", "W", "kind")]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled functions, built if need be; None where that is not possible."""
    try:
        compiler = shlex.split(os.environ.get("CXX") or "c++")
        if shutil.which(compiler[0]) is None:
            return None
        target = _target(compiler)
        if not target.exists() and not _built(compiler, target):
            return None
        return ctypes.CDLL(str(target))
    except (OSError, ValueError, IndexError):
        return None


def usable(x: Tensor) -> bool:
    """Whether the compiled functions may work on x now: autocast and torch.compile want torch's own."""
    busy = torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    return x.device.type == "cpu" and x.dtype in TYPES and x.ndim == 4 and not busy and library() is not None


def call(name: str, kind: torch.dtype, *arguments: Tensor | ctypes.Structure | int | float | None) -> None:
    """Run `name` for this dtype, on as many threads as torch does; tensors must be contiguous."""
    lib = library()
    assert lib is not None
    values = [_value(one, kind) for one in (*arguments, torch.get_num_threads())]
    getattr(lib, f"{name}_{TYPES[kind]}")(*values)


def sizes(shape: Shape, kind: torch.dtype) -> list[int]:
    """Elements of U, V and M: the transformed filters, image and result."""
    lib, counts = library(), (ctypes.c_long * 3)()
    assert lib is not None
    getattr(lib, f"sizes_{TYPES[kind]}")(shape, counts)
    return list(counts)


def _value(one: Tensor | ctypes.Structure | int | float | None, kind: torch.dtype) -> object:
    if isinstance(one, Tensor):
        assert one.is_contiguous() and one.dtype == kind and one.device.type == "cpu", (one.shape, one.dtype)
        return ctypes.c_void_p(one.data_ptr())
    if isinstance(one, float):
        return ctypes.c_double(one)
    return ctypes.c_long(one) if isinstance(one, int) else one


def _target(compiler: list[str]) -> Path:
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]pp")))
    words = (*compiler, *FLAGS, platform.machine(), _processor())
    key = hashlib.blake2b(sources + " ".join(words).encode(), digest_size=16)
    return cache_folder(f"native-{key.hexdigest()}.so")


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _built(compiler: list[str], target: Path) -> bool:
    """Build the library; where the compiler fails, now or at an earlier start, False."""
    failed = target.with_suffix(".failed")
    if failed.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = [str(path) for path in sorted(SOURCES.glob("*.cpp"))]
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        log.info("building the C++ functions for the CPU, once on this machine: about 20 s")
        made = Path(folder, target.name)
        command = [*compiler, *FLAGS, *sources, "-o", str(made)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S)
        except subprocess.SubprocessError as error:
            words = getattr(error, "stderr", None) or b""
            failed.write_text(f"{shlex.join(command)}\n{error}\n{words.decode(errors='replace')}")
            log.info(
                f"the compiler failed, torch's own functions are used; why: {failed} (remove it to try again)"
            )
            return False
        made.replace(target)  # whole at once: another process may be building the same file
    return True
