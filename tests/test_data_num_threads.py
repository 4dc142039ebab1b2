"""The default of --num_threads."""

import os

import pytest

from util import cpu_count


def test_the_default_depends_on_cores_and_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    chosen = {}
    for count in (1, 2, 6, 64):
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda process, count=count: set(range(count)), raising=False
        )
        chosen[count] = [cpu_count.default_num_threads(cached=cached) for cached in (True, False)]
    assert chosen == {1: [0, 0], 2: [1, 1], 6: [4, 5], 64: [4, 8]}
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert cpu_count.default_num_threads(cached=True) == 3


@pytest.mark.parametrize(
    ("words", "number"),
    [((), 5), (("--num_threads", "2"), 2), (("--fast", "off"), 6), (("--cache", "off"), 6)],
)
def test_the_options_contain_the_chosen_number(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], number: int
) -> None:
    from options import base_options
    from options.train_options import TrainOptions

    monkeypatch.setattr(base_options, "default_num_threads", lambda *, cached: 5 if cached else 6)
    options = TrainOptions()
    opt = options.parse(["--dataroot", ".", "--display", "console", *words])
    assert opt.num_threads == number and f"num_threads: {number} " in options.describe(opt)
