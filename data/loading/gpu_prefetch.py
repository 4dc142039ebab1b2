"""Copy batches to a GPU while it computes: images cross the bus as 8-bit values and become float32 there."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch

from data.base_dataset import is_pixels, to_floats

T = TypeVar("T")
Batch = dict[str, Any]


def prefetch(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield each batch with its images as float32 on `device`, after the copy of the next batch has been started.

    The copies run in a CUDA stream of their own; from pinned memory they do not block the CPU.
    """
    stream = torch.cuda.Stream(device)
    for batch, copied in one_ahead(start_copy(batch, device, stream) for batch in batches):
        compute = torch.cuda.current_stream(device)
        compute.wait_event(copied)
        for value in batch.values():
            if isinstance(value, torch.Tensor) and value.is_cuda:
                value.record_stream(
                    compute
                )  # the allocator must not reuse the memory before it has been read
        yield batch


def start_copy(
    batch: Batch, device: torch.device, stream: torch.cuda.Stream
) -> tuple[Batch, torch.cuda.Event]:
    """The batch with its images on `device`, and the event that marks the end of the copy in `stream`."""
    with torch.cuda.stream(stream):
        on_device = {
            key: value.to(device, non_blocking=True) if is_pixels(value) else value
            for key, value in batch.items()
        }
        return to_floats(on_device), stream.record_event()


def one_ahead(source: Iterable[T]) -> Iterator[T]:
    """Yield each element of `source` when the next one has been computed.

    If `source` raises, the elements before are yielded first.
    """
    waiting: deque[T] = deque()
    try:
        for element in source:
            waiting.append(element)
            if len(waiting) > 1:
                yield waiting.popleft()
    except Exception:
        yield from waiting
        raise
    yield from waiting
