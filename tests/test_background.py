"""Background jobs: one thread per kind, in order; errors reach the training thread."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from display_run import fake_run, options

from util.background import Background
from util.clock import Clock
from util.errors import RunFault
from util.pages.train_page import TrainPage
from util.visualizer import create_visualizer

FULL = RunFault("cannot write x: the disk is full")


def fail() -> None:
    raise FULL


def test_jobs_run_in_order_on_a_thread_inside_the_context_and_at_once_outside() -> None:
    background, done = Background(), []

    def job(name: str) -> Callable[[], None]:
        return lambda: done.append((name, threading.current_thread() is threading.main_thread()))

    background.do("a", job("before"))
    assert done == [("before", True)]
    with background:
        assert background.is_on
        for name in "12345":
            background.do("a", job(name))
    background.do("a", job("after"))
    assert done == [("before", True), *((name, False) for name in "12345"), ("after", True)]


def test_a_third_job_of_a_kind_waits_for_the_first() -> None:
    gate, done = threading.Event(), []
    with Background() as background:
        background.do("save", lambda: (gate.wait(10), done.append(1)))
        background.do("save", lambda: done.append(2))
        assert done == []
        threading.Timer(0.05, gate.set).start()
        background.do("save", lambda: done.append(3))
        assert done[0] == 1
        background.wait("save")
        assert done == [1, 2, 3]


def test_kinds_do_not_wait_for_each_other() -> None:
    gate, done = threading.Event(), []
    with Background() as background:
        background.do("save", lambda: done.append(gate.wait(10)))
        for number in range(3):
            background.do("page", lambda number=number: done.append(number))
        background.wait("page")
        assert done == [0, 1, 2]
        gate.set()
    assert done == [0, 1, 2, True]


def test_no_thread_starts_before_the_first_job() -> None:
    before = set(threading.enumerate())
    with Background() as background:
        background.wait("save")
        assert set(threading.enumerate()) <= before
        background.do("save", lambda: None)
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) <= before


def test_an_error_is_raised_by_the_next_job_of_its_kind() -> None:
    done: list[int] = []
    failed = threading.Event()
    with Background() as background:
        background.do("save", lambda: (failed.set(), fail()))
        failed.wait(10)
        background.do("page", lambda: done.append(1))
        background.wait("page")
        with pytest.raises(RunFault) as caught:
            for _ in range(3):  # the first that finds it finished
                background.do("save", lambda: None)
    assert done == [1] and caught.value is FULL


def test_an_error_is_raised_at_the_latest_when_the_context_is_left(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(RunFault) as caught, Background() as background:
        background.do("save", fail)
    assert caught.value is FULL
    with pytest.raises(ValueError, match="first"), Background() as background:
        background.do("save", fail)
        raise ValueError("first")
    assert str(FULL) in capsys.readouterr().err


def test_only_the_first_error_of_several_queued_jobs_is_raised() -> None:
    gate = threading.Event()
    with Background() as background:
        background.do("page", lambda: (gate.wait(10), fail()))
        background.do("page", fail)
        gate.set()
        with pytest.raises(RunFault) as caught:
            background.wait("page")
    assert caught.value is FULL


def test_all_jobs_are_finished_when_the_context_is_left_by_an_error() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt), Background() as background:
        background.do("save", lambda: done.append(1))
        background.do("save", lambda: done.append(2))
        raise KeyboardInterrupt
    assert done == [1, 2]


def test_the_training_page_is_written_in_the_background_from_copies_of_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, background, gate = Clock(), Background(), threading.Event()
    save = TrainPage.save_images
    monkeypatch.setattr(TrainPage, "save_images", lambda *args: (gate.wait(10), save(*args)))
    index = tmp_path / "web" / "index.html"
    run = fake_run(tmp_path, clock)
    run.background = background
    with background:
        show = create_visualizer(options(display=["html"]), run, images_per_epoch=8)
        background.wait("page")
        pictures = {"fake": torch.ones(1, 3, 4, 4)}
        show.images(pictures, clock)
        pictures["fake"].zero_()
        assert "epoch001_fake.png" not in index.read_text()
        gate.set()
        show.close()
        assert "epoch001_fake.png" in index.read_text()
