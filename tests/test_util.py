"""Clock, schedule, image pool, random state, plugins, errors: the ground floor."""

import math
import random
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from util import plugins
from util.clock import Clock
from util.errors import RunFault, UserError, run
from util.image_pool import ImagePool
from util.run.lr_schedule import POLICIES, Schedule
from util.run.random_state import RandomState, seed_everything

# ---------------------------------------------------------------------- clock


@pytest.mark.parametrize("batch", [1, 3, 7, 16, 250])
def test_every_frequency_fires_whatever_the_batch_size(batch: int) -> None:
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


def test_epochs_end_when_the_loop_says_so() -> None:
    clock, seen = Clock(epoch=3), []
    for epoch in clock.epochs(5):
        clock.advance(10)
        clock.end_epoch()
        seen.append(epoch)
    assert seen == [3, 4, 5] and clock.epoch == 6 and clock.epoch_images == 0 and clock.images == 30


def test_timed_hands_on_every_batch() -> None:
    clock = Clock()
    assert list(clock.timed(iter("abc"))) == ["a", "b", "c"]
    assert clock.data_s >= 0


# ---------------------------------------------------------------------- schedule


def test_linear_is_the_published_table() -> None:
    schedule = Schedule("linear", 100, 100)
    factors = {epoch: round(schedule.factor(epoch), 4) for epoch in (1, 100, 101, 200)}
    assert factors == {1: 1.0, 100: 1.0, 101: 0.9901, 200: 0.0099}


def test_cosine_falls_all_the_way_and_never_rises() -> None:
    factors = [Schedule("cosine", 10, 10).factor(epoch) for epoch in range(1, 21)]
    assert factors[0] == 1.0 and factors == sorted(factors, reverse=True) and 0 < factors[-1] < 0.01


def test_step_takes_a_tenth_each_time() -> None:
    schedule = Schedule("step", 100, 0, decay_iters=20)
    assert [schedule.factor(epoch) for epoch in (20, 21, 41)] == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_factor_depends_on_the_epoch_alone(policy: str) -> None:
    whole = Schedule(policy, 5, 5)
    straight = [whole.factor(epoch) for epoch in range(1, 11)]
    assert [Schedule(policy, 5, 5).factor(epoch) for epoch in range(1, 11)] == straight


def test_plateau_watches_the_loss_it_is_told_and_can_be_restored() -> None:
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


def test_other_policies_do_not_remember() -> None:
    schedule = Schedule("linear", 1, 1)
    schedule.end_epoch()
    assert not schedule.watches and schedule.best == math.inf


# ---------------------------------------------------------------------- image pool


def test_a_pool_of_nothing_hands_everything_on() -> None:
    images = torch.randn(3, 3, 2, 2)
    assert ImagePool(0).query(images) is images


def test_a_pool_fills_first_and_trades_half_of_the_time_then() -> None:
    torch.manual_seed(0)
    pool = ImagePool(10)
    first = torch.arange(10.0).view(10, 1, 1, 1)
    assert torch.equal(pool.query(first), first)
    old = 0
    for value in range(10, 1010):
        new = torch.full((1, 1, 1, 1), float(value))
        old += int(pool.query(new).item() != value)
    assert abs(old - 500) < 60


def test_a_pool_keeps_copies_without_gradients() -> None:
    pool, images = ImagePool(4), torch.ones(2, 1, 1, 1, requires_grad=True)
    returned = pool.query(images)
    with torch.no_grad():
        images.fill_(7.0)
    assert not returned.requires_grad
    assert [image.item() for image in pool.images] == [1.0, 1.0]


def test_pools_of_one_seed_trade_differently() -> None:
    torch.manual_seed(0)
    pools, kept = [ImagePool(3), ImagePool(3)], []
    for pool in pools:
        for value in range(40):
            pool.query(torch.full((1, 1, 1, 1), float(value)))
        kept.append([image.item() for image in pool.images])
    assert kept[0] != kept[1]


def test_a_restored_pool_goes_on_to_the_bit() -> None:
    torch.manual_seed(1)
    pool = ImagePool(5)
    for value in range(20):
        pool.query(torch.full((1, 1, 1, 1), float(value)))
    torch.manual_seed(2)
    restored = ImagePool(5)
    restored.load_state_dict(pool.state_dict())
    for value in range(20, 40):
        image = torch.full((1, 1, 1, 1), float(value))
        assert torch.equal(pool.query(image), restored.query(image))


# ---------------------------------------------------------------------- random state


def draws() -> tuple:
    return random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(2).tolist()


def test_all_generators_are_seeded_and_restored() -> None:
    seed_everything(3)
    first = draws()
    state = RandomState().state_dict()
    second = draws()
    seed_everything(3)
    assert draws() == first
    RandomState().load_state_dict(state)
    assert draws() == second


# ---------------------------------------------------------------------- plugins and errors


def test_a_plugin_of_a_persons_folder_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "my_own_model.py").write_text(
        '"""Mine."""\nclass BaseModel: ...\nclass MyOwnModel(BaseModel): ...\n'
    )
    found = plugins.find("model", "my_own", [str(tmp_path)])
    assert found.__name__ == "MyOwnModel"
    assert plugins.available("model", [str(tmp_path)])["my_own"] == "Mine."


def test_a_folder_cannot_take_a_built_in_name(tmp_path: Path) -> None:
    (tmp_path / "cycle_gan_model.py").write_text("class CycleGANModel:\n    pass\n")
    assert plugins.find("model", "cycle_gan", [str(tmp_path)]).__module__ == "models.cycle_gan_model"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import no_such_package\n", "needs the package no_such_package: pip install"),
        ("def broken(:\n", "does not import: SyntaxError"),
        ("1 / 0\n", "does not import: ZeroDivisionError"),
        ("class Other:\n    pass\n", "must define a class"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_explained(tmp_path: Path, text: str, sentence: str) -> None:
    name = f"faulty{abs(hash(text)) % 10**6}"
    (tmp_path / f"{name}_model.py").write_text(text)
    with pytest.raises(UserError, match=sentence):
        plugins.find("model", name, [str(tmp_path)])


def test_listing_does_not_import(tmp_path: Path) -> None:
    (tmp_path / "loud_model.py").write_text('"""Loud."""\nraise SystemExit(3)\n')
    (tmp_path / "torn_model.py").write_text("def broken(:\n")
    found = plugins.available("model", [str(tmp_path)])
    assert found["loud"] == "Loud." and found["torn"] == "(does not parse)"


def test_an_unknown_name_gets_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(UserError, match=r"did you mean cycle_gan.*known: .*pix2pix"):
        plugins.find("model", "cycle_gam")


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("x"), 2), (RunFault("x"), 1), (KeyboardInterrupt(), 130)]
)
def test_errors_become_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture) -> None:
    def fail() -> None:
        raise error

    assert run(fail) == code
    told = capsys.readouterr().err
    assert "Traceback" not in told and told.count("\n") == 1


def test_a_persons_mistake_shows_its_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise UserError("x")

    monkeypatch.setenv("ZEBRAWOOD_DEBUG", "1")
    with pytest.raises(UserError):
        run(fail)


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_statistics_of_noise_are_not_part_of_the_seed() -> None:
    """Neighbouring seeds give unrelated numbers."""
    values = []
    for seed in range(50):
        seed_everything(seed)
        values.append(torch.rand(()).item())
    assert 0.3 < statistics.mean(values) < 0.7
