"""A copy of a state on the CPU, as it is now, while training goes on to change the state itself."""

from copy import copy, deepcopy
from typing import Any

from torch import Tensor


class Snapshot:
    """Copies states of tensors, dicts, lists and plain values; what several of them share is copied once.

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
        return tuple(map(self.of, value)) if type(value) is tuple else deepcopy(value)

    def _tensor(self, tensor: Tensor) -> Tensor:
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if place not in self._copies:
            self._copies[place] = tensor, tensor.to("cpu", copy=True)
        return self._copies[place][1]
