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
    if dtype not in TYPES:
        raise ValueError(f"the compiled functions compute in float32 and float64, not in {dtype}")
    values = [_to_c(argument, dtype) for argument in (*arguments, torch.get_num_threads())]
    getattr(lib, f"{name}_{TYPES[dtype]}")(*values)


def require_shape(name: str, tensor: Tensor | None, *shape: int) -> None:
    """Raise ValueError if a tensor (None: there is none) has another shape, is empty or is not plain memory."""
    if tensor is None:
        return
    if tensor.shape != shape or 0 in shape:
        needed = "no side may be empty" if tensor.shape == shape else f"{shape} is needed"
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, but {needed}")
    _require_memory(tensor)


def _require_memory(tensor: Tensor) -> None:
    """Raise ValueError for a tensor whose elements are not one after the other in this process's memory."""
    plain = (
        tensor.is_cpu and tensor.layout is torch.strided and not tensor.is_neg() and tensor.is_contiguous()
    )
    end = tensor.storage_offset() + tensor.numel() if plain else 0  # torch lets a storage shrink below it
    if not plain or tensor.untyped_storage().nbytes() < tensor.itemsize * end:
        strides = tensor.stride() if tensor.layout is torch.strided else tensor.layout
        raise ValueError(
            f"a compiled function needs contiguous tensors in memory, not {tensor.dtype} of the shape "
            f"{tuple(tensor.shape)} on {tensor.device} with strides {strides}"
        )


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
        _require_memory(argument)
        if argument.dtype != dtype:
            raise ValueError(f"a compiled function got tensors of {dtype} and of {argument.dtype}")
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    if isinstance(argument, tuple):
        return (ctypes.c_long * len(argument))(*argument)
    return ctypes.c_long(argument) if isinstance(argument, int) else argument
