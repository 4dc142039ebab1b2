"""Copy batches to a GPU while it computes: images cross the bus as 8-bit values and become float32 there."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch

from data.base_dataset import is_pixels, to_floats

T = TypeVar("T")
Batch = dict[str, Any]


def prefetch(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield each batch with its images as float32 on `device`, after the copy of the next batch has been started.

    The copies run in a separate CUDA stream; from pinned memory they do not block the CPU.
    """
    stream = torch.cuda.Stream(device)

    def start_copy(batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            copies = {
                key: value.to(device, non_blocking=True) for key, value in batch.items() if is_pixels(value)
            }
            return to_floats(batch | copies), stream.record_event()

    for batch, copied in one_ahead(map(start_copy, batches)):
        compute = torch.cuda.current_stream(device)
        compute.wait_event(copied)
        for value in batch.values():
            if isinstance(value, torch.Tensor) and value.is_cuda:
                # the allocator must not reuse the memory before it has been read
                value.record_stream(compute)
        yield batch


def one_ahead(source: Iterable[T]) -> Iterator[T]:
    """Yield each element of `source` when the next one has been computed.

    If `source` raises, the elements before are yielded first.
    """
    waiting: list[T] = []
    try:
        for element in source:
            yield from waiting
            waiting = [element]
    except Exception:
        yield from waiting
        raise
    yield from waiting
