"""Copying a state to the CPU, so that it can be written while training changes the original."""

from copy import copy, deepcopy
from typing import Any

from torch import Tensor


class Snapshot:
    """Copies nested dicts, lists and tuples of tensors and plain values.

    Types, strides and attributes of dicts are kept, so that torch.save writes the same bytes for the copy.
    A tensor that occurs several times is copied once.
    """

    def __init__(self) -> None:
        # memory -> (tensor, its copy); holding the tensor keeps its memory from being reused
        self._copies: dict[tuple, tuple[Tensor, Tensor]] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value.detach())
        if isinstance(value, dict):
            same = copy(value)  # with attributes such as the _metadata of a state_dict
            same.update((key, self.of(part)) for key, part in value.items())
            return same
        if isinstance(value, list):
            return [self.of(part) for part in value]
        if isinstance(value, tuple):
            parts = map(self.of, value)
            return value._make(parts) if hasattr(value, "_make") else type(value)(parts)
        return deepcopy(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        memory = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if memory not in self._copies:
            self._copies[memory] = tensor, tensor.to("cpu", copy=True)
        return self._copies[memory][1]
