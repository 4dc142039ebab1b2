"""Copying a state to the CPU, so that it can be written while training changes the original."""

from copy import copy, deepcopy
from typing import Any

from torch import Tensor


def snapshot(state: Any) -> Any:
    """Copy nested dicts, lists and tuples of tensors and other values.

    The copy has the same strides and attributes (the `_metadata` of a state_dict), so that torch.save writes the
    same bytes. A tensor that occurs several times is copied once.
    """
    copies: dict[tuple, Tensor] = {}

    def copy_of(value: Any) -> Any:
        if isinstance(value, Tensor):
            memory = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
            if memory not in copies:
                copies[memory] = value.detach().to("cpu", copy=True)
            return copies[memory]
        if isinstance(value, dict):
            result = copy(value)
            result.update((key, copy_of(part)) for key, part in value.items())
            return result
        if type(value) in (list, tuple):
            return type(value)(map(copy_of, value))
        return deepcopy(value)

    return copy_of(state)
