"""Building and calling the C++ functions, which the system's compiler builds once per machine.

The library is kept in $XDG_CACHE_HOME/zebrawood (or ~/.cache/zebrawood). Its name is a hash of the sources, the flags,
the compiler and the processor. If the build fails, a file beside it records that, and torch's functions are used.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
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
Argument = Tensor | tuple[int, ...] | ctypes.Array | int | float | None  # a tuple becomes a struct of longs


@cache
def library() -> ctypes.CDLL | None:
    """The compiled functions, built on the first call; None if they cannot be built or loaded."""
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
    """Whether the compiled functions can run on x; autocast and torch.compile need torch's own functions."""
    if x.device.type != "cpu" or x.dtype not in TYPES or x.ndim != 4:
        return False
    return not (torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()) and library() is not None


def call(name: str, dtype: torch.dtype, *arguments: Argument) -> None:
    """Run the function `name` for this dtype on as many threads as torch uses.

    The C++ trusts its sizes, so the caller checks all shapes with require_shape() first.

    Raises:
        ValueError: a tensor has another dtype, is on another device, or is not contiguous.
    """
    lib = library()
    assert lib is not None
    values = [_to_c(argument, dtype) for argument in (*arguments, torch.get_num_threads())]
    getattr(lib, f"{name}_{TYPES[dtype]}")(*values)


def require_shape(name: str, tensor: Tensor | None, *shape: int) -> None:
    """Raise ValueError if a tensor (None: there is none) has another shape, or if it is empty."""
    if tensor is not None and (tensor.shape != shape or 0 in shape):
        needed = "no side may be empty" if tensor.shape == shape else f"{shape} is needed"
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, but {needed}")


def differentiable_gradients(
    reference: Callable[..., Tensor], inputs: Sequence[Tensor | None], needs: Sequence[bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient of each input that needs one, None for the others, which can be differentiated again.

    `reference` computes the compiled function with torch's operations; `grad` is the gradient of its output.
    """
    chosen = [tensor for tensor, needed in zip(inputs, needs, strict=True) if needed]
    found = iter(torch.autograd.grad(reference(*inputs), chosen, grad, create_graph=True))  # type: ignore[arg-type]
    return tuple(next(found) if needed else None for needed in needs)


def _to_c(argument: Argument, dtype: torch.dtype) -> object:
    if isinstance(argument, Tensor):
        plain = argument.is_cpu and argument.layout is torch.strided and not argument.is_neg()
        if not (plain and argument.dtype == dtype and argument.is_contiguous()):
            raise ValueError(
                f"a compiled function needs contiguous {dtype} tensors on the CPU, not {argument.dtype} on "
                f"{argument.device} with strides {argument.stride() if plain else argument.layout}"
            )
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    if isinstance(argument, tuple):
        return (ctypes.c_long * len(argument))(*argument)
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _target(compiler: list[str]) -> Path:
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]pp")))
    platform_words = (*compiler, *FLAGS, platform.machine(), _processor())
    key = hashlib.blake2b(sources + " ".join(platform_words).encode(), digest_size=16)
    return cache_folder(f"native-{key.hexdigest()}.so")


def _processor() -> str:
    """What -march=native depends on: machines with different processors may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _built(compiler: list[str], target: Path) -> bool:
    """Build the library; False if the compiler fails, or failed in an earlier process."""
    failed = target.with_suffix(".failed")
    if failed.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = [str(path) for path in sorted(SOURCES.glob("*.cpp"))]
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        log.info("building the C++ functions for the CPU, once on this machine; this takes about 20 s")
        built = Path(folder, target.name)
        command = [*compiler, *FLAGS, *sources, "-o", str(built)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S)
        except subprocess.SubprocessError as error:
            output = getattr(error, "stderr", None) or b""
            failed.write_text(f"{shlex.join(command)}\n{error}\n{output.decode(errors='replace')}")
            log.info(f"the C++ compiler failed, so torch's functions are used; remove {failed} to try again")
            return False
        built.replace(target)  # atomic: another process may build the same file
    return True
