"""The clock, which counts images, and the learning-rate schedule, which counts epochs."""

import math

import pytest

from util.clock import Clock
from util.run.lr_schedule import POLICIES, Schedule


@pytest.mark.parametrize("batch", [1, 3, 7, 16, 250])
def test_every_frequency_is_met_for_any_batch_size(batch: int) -> None:
    clock, fired = Clock(), 0
    for _ in range(8400 // batch):
        clock.advance(batch)
        fired += clock.due(400)
    assert fired == clock.images // 400


def test_a_resumed_clock_does_not_fire_again() -> None:
    clock = Clock()
    clock.advance(400)
    assert clock.due(400)
    again = Clock()
    again.load_state_dict(clock.state_dict())
    assert not again.due(400) and again == Clock(epoch=1, epoch_images=400, images=400, _before=400)


def test_epochs_end_with_end_epoch() -> None:
    clock, seen = Clock(epoch=3), []
    for epoch in clock.epochs(5):
        assert list(clock.timed(iter("abc"))) == ["a", "b", "c"] and clock.data_s >= 0
        clock.advance(10)
        clock.end_epoch()
        seen.append(epoch)
    assert seen == [3, 4, 5] and clock.epoch == 6 and clock.epoch_images == 0 and clock.images == 30


def test_linear_is_upstreams_table() -> None:
    schedule = Schedule("linear", 100, 100)
    factors = {epoch: round(schedule.factor(epoch), 4) for epoch in (1, 100, 101, 200)}
    assert factors == {1: 1.0, 100: 1.0, 101: 0.9901, 200: 0.0099}


def test_cosine_falls_to_almost_zero_and_never_rises() -> None:
    factors = [Schedule("cosine", 10, 10).factor(epoch) for epoch in range(1, 21)]
    assert factors[0] == 1.0 and factors == sorted(factors, reverse=True) and 0 < factors[-1] < 0.01


def test_step_multiplies_by_a_tenth_each_time() -> None:
    schedule = Schedule("step", 100, 0, decay_iters=20)
    assert [schedule.factor(epoch) for epoch in (20, 21, 41)] == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_factor_depends_only_on_the_epoch(policy: str) -> None:
    whole = Schedule(policy, 5, 5)
    straight = [whole.factor(epoch) for epoch in range(1, 11)]
    assert [Schedule(policy, 5, 5).factor(epoch) for epoch in range(1, 11)] == straight


def test_plateau_reduces_the_rate_and_can_be_restored() -> None:
    schedule = Schedule("plateau", 100, 0, patience=2)
    for epoch, loss in enumerate([4.0, 3.0, 3.0, 3.0]):
        for _ in range(5):
            schedule.observe(loss)
        if epoch == 3:
            restored = Schedule("plateau", 100, 0, patience=2)
            restored.load_state_dict(schedule.state_dict())
            schedule = restored
        schedule.end_epoch()
        assert schedule.factor(epoch) == 1.0
    schedule.observe(3.0)
    schedule.end_epoch()
    assert schedule.factor(6) == pytest.approx(0.2)
    schedule.observe(1.0)  # better again: no further fall
    schedule.end_epoch()
    assert schedule.factor(7) == pytest.approx(0.2)


def test_other_policies_have_no_state() -> None:
    schedule = Schedule("linear", 1, 1)
    schedule.end_epoch()
    assert not schedule.watches and schedule.best == math.inf
