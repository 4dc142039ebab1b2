"""Calling the C++ functions through ctypes; build.py builds their library."""

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from models.nets.cpu.build import BuildError, built_library
from util import log

TYPES = {torch.float32: "float", torch.float64: "double"}
Argument = Tensor | tuple[int, ...] | ctypes.Array | int | float | None  # a tuple becomes a struct of longs


@cache
def library() -> ctypes.CDLL | None:
    """The compiled functions, built on the first call; None if they cannot be built or loaded."""
    if os.name != "posix":
        return None
    try:
        return ctypes.CDLL(str(built_library()))
    except (BuildError, OSError, ValueError) as error:
        log.warn(f"the C++ functions for the CPU are not used, so training is slower: {error}")
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
