"""Runs two forms of the same work in turn and computes medians, ratios and rates from their times."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

LEAST_ROUNDS = 3
Record = dict[str, Any]  # one line of the results, with the keys that --json writes


class Reading(NamedTuple):
    """One run: its seconds, and the MiB that it took beyond those in use before (None = not measured)."""

    seconds: float
    peak_mib: float | None = None


# Work that measures itself: with True it measures its memory, and the seconds are then too long to be used.
Form = Callable[[bool], Reading]


class Gauge:
    """Measures what happens between start() and stop(), on CUDA including all queued work.

    This module imports torch late and nothing else of the project, because the processes of other
    repositories use it.
    """

    def __init__(self, device: str) -> None:
        self._cuda = None
        if device == "cuda":
            import torch

            self._cuda = torch.cuda
        self._before: float | None = None
        self._started = 0.0

    def start(self, memory: bool) -> None:
        self._before = self._reset_peak() if memory else None
        if self._cuda:
            self._cuda.synchronize()
        self._started = time.perf_counter()

    def stop(self) -> Reading:
        if self._cuda:
            self._cuda.synchronize()
        seconds = time.perf_counter() - self._started
        return Reading(seconds, None if self._before is None else self._peak() - self._before)

    def timed(self, work: Callable[[], object]) -> Form:
        def run(memory: bool) -> Reading:
            self.start(memory)
            work()
            return self.stop()

        return run

    def _reset_peak(self) -> float | None:
        """Reset the peak; -> MiB in use now, None where the system does not report memory."""
        if self._cuda:
            self._cuda.reset_peak_memory_stats()
            return self._cuda.memory_allocated() / 2**20
        with suppress(OSError, AttributeError):  # Linux only
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            return _status_mib("VmRSS")
        return None

    def _peak(self) -> float:
        if self._cuda:
            return self._cuda.max_memory_allocated() / 2**20
        return _status_mib("VmHWM")


def _status_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


@dataclass(frozen=True)
class Case:
    """What is timed: the fast form, and the baseline that it is compared with (None where nothing can run)."""

    fast: Form
    baseline: Form | None
    against: str  # what the baseline is
    units: int = 1  # steps, images, ... of one run; times are reported for one unit
    images: int = 0  # per unit; 0 = the work is not about images
    flops: float = 0.0  # per unit on the reference path; 0 = unknown
    counted: bool = False  # count the FLOPs while the baseline warms up
    warm_ups: int = 1  # runs of each form that do not count
    note: Callable[[], str] = str  # further results, called after the last run


def measure(name: str, case: Case, *, budget_s: float, best_flops: Callable[[], float]) -> Record:
    """Run both forms in turn for `budget_s` seconds, but at least three rounds, after runs that do not count.

    `ratio` is the median over pairs of neighbouring runs, because other programs slow both down alike.
    `best_flops` returns the FLOP/s that the machine can reach; it is called only where FLOPs are known.
    """
    flops = _warm_up(case)
    forms = [case.fast] if case.baseline is None else [case.fast, case.baseline]
    peaks = [form(True).peak_mib for form in forms]
    runs: list[list[float]] = [[] for _ in forms]
    end = time.perf_counter() + budget_s
    while len(runs[0]) < LEAST_ROUNDS or time.perf_counter() < end:
        # the order alternates, so that what one form leaves in the caches affects both alike
        turns = list(zip(forms, runs, strict=True))
        for form, seconds in turns if len(runs[0]) % 2 else reversed(turns):
            seconds.append(form(False).seconds / case.units)
    record: Record = {"name": name, "against": case.against, "rounds": len(runs[0])}
    for prefix, times, peak in zip(("", "baseline_"), [*runs, []], [*peaks, None], strict=False):
        median = statistics.median(times) if times else None
        record[f"{prefix}seconds"], record[f"{prefix}peak_mib"] = median, peak
        record[f"{prefix}images_per_s"] = case.images / median if case.images and median else None
    ratios = [slow / fast for fast, slow in zip(*runs, strict=True)] if case.baseline else []
    quartiles = statistics.quantiles(ratios, n=4, method="inclusive") if ratios else [None] * 3
    record |= dict(zip(("ratio_low", "ratio", "ratio_high"), quartiles, strict=True))
    flops_per_s = flops / record["seconds"]
    record["gflops"] = flops_per_s / 1e9 if flops else None
    record["of_ceiling"] = flops_per_s / best_flops() if flops else None
    return record | {"note": case.note()}


def _warm_up(case: Case) -> float:
    """Run each form without counting; -> the FLOPs of a unit."""
    for _ in range(case.warm_ups):
        case.fast(False)
    if case.baseline is None:
        return case.flops
    for _ in range(case.warm_ups - case.counted):
        case.baseline(False)
    if not case.counted:
        return case.flops
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        case.baseline(False)
    return counter.get_total_flops() / case.units
