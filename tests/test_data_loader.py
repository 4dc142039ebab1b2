"""Batches do not depend on the number of workers, ranks and interruptions; errors are one sentence."""

import gc
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
import torch
import torch.multiprocessing
from conftest import names_all, refused
from torch import Tensor

from data.base_dataset import BaseDataset
from data.loader import Batch, Loader
from data.loading.sampler import EpochSampler, mix
from util.errors import RunFault, UserError


class Drawing(BaseDataset):
    """Items of the index and numbers from all three global generators; `act` may misbehave."""

    def __init__(self, count: int, act: Callable[[int], object] = bool) -> None:
        self.count, self.act = count, act

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        drawn = [float(index), random.random(), np.random.rand(), torch.rand(()).item()]
        result = self.act(index)
        if isinstance(result, dict | tuple):
            return result
        return {"A": torch.tensor(drawn, dtype=torch.float64), "A_paths": str(index)}


def rows(batches: list[Batch]) -> Tensor:
    return torch.cat([batch["A"] for batch in batches])


def test_an_epoch_has_all_items_once_in_an_order_of_seed_and_epoch() -> None:
    loader = Loader(Drawing(12), batch_size=4, seed=1)
    first, again, second = (rows(list(loader.epoch(epoch))) for epoch in (1, 1, 2))
    assert sorted(first[:, 0].tolist()) == list(range(12))
    assert torch.equal(first, again) and torch.equal(first, rows(list(loader)))
    assert first[:, 0].tolist() != second[:, 0].tolist()
    assert first.unique().numel() > second.numel() / 2  # no generator repeats itself
    assert not torch.equal(first, rows(list(Loader(Drawing(12), batch_size=4, seed=2))))


def test_the_order_is_the_same_on_all_machines() -> None:
    assert mix(0, 1) == 9017893900260303862
    sampler = EpochSampler(6, 2, seed=0, shuffle=True, drop_last=True)
    assert [index for batch in sampler for index, _ in batch] == [1, 3, 0, 4, 5, 2]


def test_workers_and_resuming_within_an_epoch_change_no_batch() -> None:
    in_process = Loader(Drawing(12), batch_size=2, seed=5)
    expected = [rows(list(in_process.epoch(epoch))) for epoch in (1, 2, 3)]
    workers = Loader(Drawing(12), batch_size=2, seed=5, num_threads=2)
    assert torch.equal(rows(list(workers.epoch(1))), expected[0])
    broken_off = workers.epoch(2)
    next(broken_off)
    assert torch.equal(rows(list(workers.epoch(3))), expected[2])
    assert torch.equal(rows(list(workers.epoch(2, skip=8))), expected[1][8:])
    assert torch.equal(rows(list(in_process.epoch(2, skip=8))), expected[1][8:])
    assert list(in_process.epoch(2, skip=12)) == []


def test_a_skip_within_a_step_is_rejected() -> None:
    with refused(3, 2, "--batch_size"):
        next(Loader(Drawing(12), batch_size=2).epoch(2, skip=3))


@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_share_the_joint_batch(shuffle: bool) -> None:
    joint = Loader(Drawing(11), batch_size=4, shuffle=shuffle)
    ranks = [Loader(Drawing(11), batch_size=2, rank=rank, world=2, shuffle=shuffle) for rank in (0, 1)]
    assert {loader.step_images for loader in [joint, *ranks]} == {4}
    assert {loader.images_per_epoch for loader in [joint, *ranks]} == {8}
    assert {len(loader) for loader in [joint, *ranks]} == {11}
    for skip in (0, 4):
        parts = zip(*(loader.epoch(3, skip) for loader in ranks), strict=True)
        whole = list(joint.epoch(3, skip))
        assert torch.equal(rows(whole), rows([batch for pair in parts for batch in pair]))
        assert len(whole) == (8 - skip) // 4


def test_without_drop_last_each_item_comes_once() -> None:
    loader = Loader(Drawing(7), batch_size=3, shuffle=False, drop_last=False)
    assert [batch["A_paths"] for batch in loader] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert loader.images_per_epoch == len(loader) == 7
    flags = {"batch_size": 3, "shuffle": False, "drop_last": False, "world": 2}
    parts = [[batch["A_paths"] for batch in Loader(Drawing(7), rank=rank, **flags)] for rank in (0, 1)]
    assert parts == [[["0", "1", "2"], ["6"]], [["3", "4", "5"]]]


def test_max_images_selects_the_first() -> None:
    loader = Loader(Drawing(9), batch_size=2, max_images=4)
    assert len(loader) == 4
    assert sorted(rows(list(loader))[:, 0].tolist()) == [0, 1, 2, 3]


def test_a_set_smaller_than_a_step_is_rejected() -> None:
    with refused(3, "--batch_size 2", "2 processes"):
        Loader(Drawing(3), batch_size=2, world=2)
    assert len(Loader(Drawing(3), batch_size=4, drop_last=False)) == 3
    with refused(0, "--batch_size 1"):
        Loader(Drawing(0), batch_size=1, drop_last=False)


@pytest.mark.parametrize("num_threads", [0, 2])
def test_the_global_generators_of_the_main_process_do_not_change(num_threads: int) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    list(Loader(Drawing(4), batch_size=2, num_threads=num_threads))
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected


class Misbehaviour:
    """Picklable things to do when the index is 3."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, index: int) -> object:
        if index != 3:
            return None
        if self.kind == "user":
            raise UserError("b.png is broken; remove it")
        if self.kind == "code":
            raise KeyError("no\nkey")
        if self.kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "size":
            return {"A": torch.zeros(5)}
        return (1, 2)


@pytest.mark.parametrize("num_threads", [0, 1])
@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("user", UserError, ["b.png"]),
        ("code", RunFault, ["Drawing", 3, "KeyError: 'no\\nkey'"]),
        ("tuple", RunFault, ["Drawing", 3, "TypeError", "tuple"]),
        ("size", UserError, ["(4,)", "(5,)", "--batch_size 1", "--preprocess"]),
    ],
)
def test_errors_are_one_sentence(kind: str, error: type, words: list, num_threads: int) -> None:
    loader = Loader(Drawing(4, Misbehaviour(kind)), batch_size=2, num_threads=num_threads, shuffle=False)
    found = last_error(loader)
    assert type(found) is error and names_all(str(found), words) and "\n" not in str(found)
    if kind == "code":
        assert "in __getitem__" in found.__notes__[0]


def last_error(loader: Loader) -> UserError:
    try:
        list(loader)
    except UserError as error:
        return error.with_traceback(None)  # whose frames would keep the workers alive
    raise AssertionError("no error")


def test_workers_end_with_the_error_and_not_only_with_garbage_collection() -> None:
    before = set(multiprocessing.active_children())
    gc.disable()
    try:
        with suppress(UserError):
            list(Loader(Drawing(4, Misbehaviour("user")), batch_size=2, num_threads=1, shuffle=False))
        assert set(multiprocessing.active_children()) <= before
    finally:
        gc.enable()


def test_a_killed_worker_is_reported_where_its_batch_is_awaited() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    loader = Loader(Drawing(6, Misbehaviour("killed")), batch_size=1, num_threads=1, shuffle=False)
    assert len(next(iter(loader))["A"]) == 1
    assert signal.getsignal(signal.SIGCHLD) is before
    found = last_error(loader)
    assert type(found) is RunFault
    assert names_all(str(found), ["--num_threads"])


def test_a_worker_that_cannot_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "fork", no_memory)
    with refused("OSError", "--num_threads", error=RunFault):
        next(iter(Loader(Drawing(4), batch_size=2, num_threads=1)))


def signals(index: int) -> dict:
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    return {"A": torch.tensor([ignored, default, os.getpgrp() != os.getppid(), torch.get_num_threads() == 1])}


def test_workers_leave_signals_to_the_main_process() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        batch = next(iter(Loader(Drawing(2, signals), batch_size=2, num_threads=1)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert batch["A"].all()


def test_more_workers_than_batches_cause_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert len(rows(list(Loader(Drawing(4), batch_size=2, num_threads=500)))) == 4
    assert not [warning for warning in recwarn if "worker" in str(warning.message)]
