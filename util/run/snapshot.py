"""A copy of a state on the CPU, as it is now, while training goes on to change the state itself."""

import io
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor


class Snapshot:
    """Copies states of tensors, dicts, lists, tuples and plain values; what several of them share is copied once.

    Types, strides and the attributes of dicts stay, so that a copy is saved as the state itself would be.
    """

    def __init__(self) -> None:
        # place -> tensor and copy; a tensor that is held cannot leave its place to another
        self._copies: dict[tuple, tuple[Tensor, Tensor]] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value.detach())
        if isinstance(value, dict):
            same = copy(value)
            for key, part in value.items():
                same[key] = self.of(part)
            return same
        if isinstance(value, list):
            return [self.of(part) for part in value]
        if isinstance(value, tuple):
            parts = map(self.of, value)
            return value._make(parts) if hasattr(value, "_make") else type(value)(parts)
        return _other(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if place not in self._copies:
            self._copies[place] = tensor, tensor.to("cpu", copy=True)
        return self._copies[place][1]


def _other(value: Any) -> Any:
    try:
        return deepcopy(value)
    except RuntimeError:  # it holds a tensor that was computed, which can be saved but not copied
        file = io.BytesIO()
        torch.save(value, file)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=False)  # what was just written
