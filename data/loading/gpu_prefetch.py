"""Batches brought to a GPU while it still computes: 8-bit over the bus, made floats there."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from data.base_dataset import floats, is_pixels

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Upload:
    """A batch on its way, and the mark behind it in the stream that brings it."""

    batch: dict[str, Any]
    device: torch.device
    done: torch.cuda.Event

    def finish(self) -> dict[str, Any]:
        """The batch, for the stream that computes; nobody waits but that stream."""
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(self.done)
        for value in self.batch.values():
            if isinstance(value, torch.Tensor) and value.is_cuda:
                value.record_stream(computing)  # or its memory might be given out anew before it is read
        return self.batch


class Uploader:
    """Begins uploads of pixels to `device` in a stream of its own; from pinned memory it does not wait for them."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def begin(self, batch: Any) -> Any:
        """A batch as an Upload; all else, such as a failure, as it is."""
        if not isinstance(batch, dict):
            return batch
        with torch.cuda.stream(self.stream):
            on_device = {
                key: value.to(self.device, non_blocking=True) if is_pixels(value) else value
                for key, value in batch.items()
            }
            return Upload(floats(on_device), self.device, self.stream.record_event())


def ahead(source: Iterable[S], begin: Callable[[S], T]) -> Iterator[T]:
    """`begin` of each element, called already for the next one when one is given out.

    What goes wrong on the way is raised when the element is asked for that it has come in place of.
    """
    begun: deque[T] = deque()
    elements, error = iter(source), None
    while True:
        try:
            begun.append(begin(next(elements)))
        except StopIteration:
            break
        except Exception as failure:
            error = failure
            break
        if len(begun) > 1:
            yield begun.popleft()
    yield from begun
    if error is not None:
        raise error
