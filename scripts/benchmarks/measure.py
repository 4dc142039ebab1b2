"""Two forms of the same work in turn, and what their times say."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from scripts.benchmarks.gauge import Gauge, Reading

LEAST_ROUNDS = 3


class Form(Protocol):
    """A piece of work that tells what it took."""

    def __call__(self, memory: bool) -> Reading:
        """With `memory` it looks at that, and its seconds are not to be used."""


def timed(gauge: Gauge, work: Callable[[], object]) -> Form:
    """A form that is timed in this process."""

    def run(memory: bool) -> Reading:
        gauge.start(memory)
        work()
        return gauge.stop()

    return run


@dataclass(frozen=True)
class Case:
    """What is timed: the fast form, what it stands beside (nothing, where that cannot run), and its measures."""

    fast: Form
    baseline: Form | None
    beside: str  # what the baseline is
    units: int = 1  # a run is so many steps, images, ...; times are told of one of them
    images: int = 0  # of a unit; 0 = it makes and takes none
    flops: float = 0.0  # of a unit on the plain path; 0 = not known
    counted: bool = False  # find the FLOPs while the baseline warms up
    warm_ups: int = 1  # runs of each that do not count
    note: Callable[[], str] = str  # what else there is to say, asked when all is measured


@dataclass(frozen=True)
class Result:
    """Medians; `ratio` is how many times faster than the baseline, over pairs of neighbouring runs.

    Without a baseline its numbers are None.
    """

    name: str
    beside: str
    rounds: int
    seconds: float
    baseline_seconds: float | None
    ratio: float | None
    ratio_low: float | None  # quartiles over the rounds
    ratio_high: float | None
    peak_mib: float | None
    baseline_peak_mib: float | None
    images_per_s: float | None
    baseline_images_per_s: float | None
    gflops: float | None  # of the plain path's operations, a second of the fast form
    of_ceiling: float | None  # `gflops` as a share of the best that this machine was seen to do
    note: str

    def record(self) -> dict[str, object]:
        return asdict(self)


def measure(name: str, case: Case, *, budget_s: float, ceiling: Callable[[], float]) -> Result:
    """Run both forms in turn until the time is spent, three rounds at least.

    Before that come runs that do not count, and one of each that looks at memory alone.

    `ceiling` gives the FLOP/s that the machine can do, and is asked only where FLOPs are known.
    """
    flops = _warm_up(case)
    peaks = [None if form is None else form(memory=True).peak_mib for form in (case.fast, case.baseline)]
    fast: list[Reading] = []
    baseline: list[Reading] = []
    end = time.perf_counter() + budget_s
    while len(fast) < LEAST_ROUNDS or time.perf_counter() < end:
        turns = [(case.fast, fast)] + ([] if case.baseline is None else [(case.baseline, baseline)])
        # the first of a pair changes, so that what one leaves behind slows down both alike
        for form, readings in turns if len(fast) % 2 else reversed(turns):
            readings.append(form(memory=False))
    return _result(name, case, (fast, baseline), peaks, flops, ceiling)


def _warm_up(case: Case) -> float:
    """Run each form without counting, and return the FLOPs of a unit."""
    for _ in range(case.warm_ups):
        case.fast(memory=False)
    if case.baseline is None:
        return case.flops
    for _ in range(case.warm_ups - 1):
        case.baseline(memory=False)
    if not case.counted:
        case.baseline(memory=False)
        return case.flops
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        case.baseline(memory=False)
    return counter.get_total_flops() / case.units


def _result(
    name: str,
    case: Case,
    runs: tuple[list[Reading], list[Reading]],
    peaks: Sequence[float | None],
    flops: float,
    ceiling: Callable[[], float],
) -> Result:
    fast, baseline = runs
    seconds, usual = (_median([one.seconds / case.units for one in side]) for side in runs)
    assert seconds is not None
    low, ratio, high = _quartiles([b.seconds / a.seconds for a, b in zip(fast, baseline, strict=False)])
    return Result(
        name=name,
        beside=case.beside,
        rounds=len(fast),
        seconds=seconds,
        baseline_seconds=usual,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        peak_mib=peaks[0],
        baseline_peak_mib=peaks[1],
        images_per_s=case.images / seconds if case.images else None,
        baseline_images_per_s=case.images / usual if case.images and usual else None,
        gflops=flops / seconds / 1e9 if flops else None,
        of_ceiling=flops / seconds / ceiling() if flops else None,
        note=case.note(),
    )


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _quartiles(ratios: list[float]) -> tuple[float, float, float] | tuple[None, None, None]:
    if not ratios:
        return None, None, None
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high
