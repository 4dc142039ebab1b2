"""The loader converts 8-bit images to the floats of upstream, and copies them to a GPU one step ahead."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from data.base_dataset import BaseDataset, PixelDataset
from data.loader import Loader
from data.loading import gpu_prefetch
from data.loading.gpu_prefetch import one_ahead, prefetch
from data.loading.items import seeded
from data.loading.sampler import mix
from data.transforms import to_float


class Pixels(PixelDataset):
    """Items of 8-bit noise, a label, and floats of the data set's own."""

    def __init__(self) -> None:
        pass

    def __len__(self) -> int:
        return 6

    def read(self, index: int, rng: random.Random) -> dict:
        drawn = torch.tensor([rng.randrange(256) for _ in range(12)], dtype=torch.uint8)
        return {"A": drawn.view(3, 2, 2), "B": torch.full((1,), 0.25), "label": torch.tensor(index)}


class Drawing(Pixels):
    """Also draws from a global generator."""

    def read(self, index: int, rng: random.Random) -> dict:
        return super().read(index, rng) | {"B": torch.tensor([random.random()])}


class Unseeded(Drawing):
    cacheable = True  # which is wrong: it draws from a global generator


class Repeating(Pixels):
    cacheable = True


class Doubled(Pixels):
    def __getitem__(self, index: int) -> dict:
        item = super().__getitem__(index)
        return item | {"A": item["A"] * 2}


class Masks(BaseDataset):
    def __init__(self) -> None:
        pass

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict:
        return {"A": torch.zeros(3, 2, 2), "mask": torch.full((1, 2, 2), 7, dtype=torch.uint8)}


def test_all_256_values_equal_upstream() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    upstream = values.to(torch.float32).div_(255).sub_(0.5).div_(0.5)
    assert torch.equal(to_float(values), upstream) and to_float(values).dtype == torch.float32
    assert values.tolist() == list(range(256))


@pytest.mark.parametrize("num_threads", [0, 2])
def test_batches_equal_items_with_the_same_seed(num_threads: int) -> None:
    for items in (Pixels(), Repeating()):
        batches = list(Loader(items, batch_size=1, seed=3, num_threads=num_threads).epoch(2))
        for position, batch in enumerate(batches):
            # what it would draw from the global generators
            with seeded(mix(3, 2, position)):
                expected = items[int(batch["label"])]
            assert all(torch.equal(batch[key][0], expected[key]) for key in ("A", "B", "label"))
        assert batches[0]["A"].dtype == torch.float32 and batches[0]["label"].dtype == torch.int64
        assert len({batch["A"].sum().item() for batch in batches}) == 6


def test_global_generators_are_not_seeded_for_a_cacheable_data_set() -> None:
    def drawn(items: Pixels, start: int) -> list[float]:
        random.seed(start)
        return [batch["B"].item() for batch in Loader(items, batch_size=1)]

    assert drawn(Drawing(), 1) == drawn(Drawing(), 2) and len(set(drawn(Drawing(), 1))) == 6
    assert drawn(Unseeded(), 1) != drawn(Unseeded(), 2)


def test_an_overridden_getitem_is_called() -> None:
    items = Doubled()
    (batch,) = Loader(items, batch_size=6, shuffle=False).epoch(1)
    (expected,) = Loader(Pixels(), batch_size=6, shuffle=False).epoch(1)
    assert torch.equal(batch["A"], expected["A"] * 2)


def test_uint8_tensors_of_other_data_sets_are_not_converted() -> None:
    (batch,) = Loader(Masks(), batch_size=2)
    assert batch["mask"].dtype == torch.uint8 and batch["mask"].unique().tolist() == [7]


def test_one_ahead_computes_the_next_element_first() -> None:
    log: list[str] = []

    def begin(number: int) -> int:
        log.append(f"begin {number}")
        return number * 10

    for number in one_ahead(map(begin, range(3))):
        log.append(f"use {number}")
    assert log == ["begin 0", "begin 1", "use 0", "begin 2", "use 10", "use 20"]
    assert list(one_ahead([])) == []


def test_one_ahead_raises_after_the_elements_before() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("a worker died")

    found = one_ahead(map(float, broken()))
    assert (next(found), next(found)) == (1.0, 2.0)
    with pytest.raises(OSError, match="a worker died"):
        next(found)


class FakeStream:
    """Notes what is done, and in which stream."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def record_event(self) -> str:
        self.log.append(f"mark in {self.name}")
        return f"mark of {self.name}"

    def wait_event(self, event: str) -> None:
        self.log.append(f"{self.name} waits for {event}")


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A torch.cuda that computes on the CPU and notes the order of things."""
    log: list[str] = []

    @contextmanager
    def within(stream: FakeStream) -> Iterator[None]:
        log.append(f"enter {stream.name}")
        yield
        log.append("leave")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream("side", log))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: FakeStream("main", log))
    monkeypatch.setattr(Tensor, "is_cuda", property(lambda self: self.dtype == torch.float32), raising=False)
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: log.append(f"{stream.name} reads"))
    monkeypatch.setattr(gpu_prefetch, "to_floats", lambda batch: (log.append("floats"), to_floats(batch))[1])
    return log


def to_floats(batch: dict) -> dict:
    return {key: to_float(value) if value.dtype == torch.uint8 else value for key, value in batch.items()}


def test_copies_have_a_stream_of_their_own_and_the_computing_stream_waits(streams: list[str]) -> None:
    batches = [{"A": torch.tensor([[0, 255]], dtype=torch.uint8), "label": torch.tensor([n])} for n in (4, 5)]
    found = prefetch(batches, torch.device("cpu"))
    first, copy = next(found), ["enter side", "floats", "mark in side", "leave"]
    assert streams == [*copy, *copy, "main waits for mark of side", "main reads"]  # the next copy has begun
    assert first["A"].tolist() == [[-1.0, 1.0]] and first["label"].tolist() == [4]
    assert next(found)["label"].tolist() == [5] and not list(found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_on_a_gpu_equal_those_on_the_cpu() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_float(values.to(device)).cpu(), to_float(values))
    expected = list(Loader(Pixels(), batch_size=2).epoch(1))
    found = list(Loader(Pixels(), batch_size=2, num_threads=1, device=device).epoch(1))
    assert all(batch["A"].device == device and not batch["label"].is_cuda for batch in found)
    assert all(torch.equal(a["A"].cpu(), b["A"]) for a, b in zip(found, expected, strict=True))
