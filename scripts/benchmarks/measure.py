"""Runs two forms of the same work in turn, and computes medians, ratios and rates from their times."""

import ctypes
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from options.train_options import TrainOptions

ROOT = Path(__file__).resolve().parents[2]
CLEAR_REFS = Path("/proc/self/clear_refs")  # Linux only
SLOW_S = 10.0  # with shorter preparations, three rounds are run in any case
Record = dict[str, Any]  # one row of the table, with the keys that --json writes


@dataclass
class Reading:
    seconds: float = 0.0
    peak_mib: float | None = None  # memory in addition to what was in use before; None = not measured


# Work that measures itself. With True it measures its memory, which makes the seconds too long.
Form = Callable[[bool], Reading]


@contextmanager
def gauge(device: str, memory: bool) -> Iterator[Reading]:
    """Measure the block, on CUDA including all queued work; the reading is complete after the block."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    if memory and device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif memory and CLEAR_REFS.exists():
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR_REFS.write_text("5")  # resets VmHWM
    reading, before = Reading(), _memory_mib(device)[0] if memory else None
    wait()
    start = time.perf_counter()
    yield reading
    wait()
    reading.seconds = time.perf_counter() - start
    if before is not None:
        reading.peak_mib = _memory_mib(device)[1] - before


def _memory_mib(device: str) -> Any:
    """(memory in use, its peak), or None, None where the system does not report them."""
    if device == "cuda":
        return torch.cuda.memory_allocated() / 2**20, torch.cuda.max_memory_allocated() / 2**20
    if not CLEAR_REFS.exists():
        return None, None
    status = Path("/proc/self/status").read_text()
    return [int(status.split(f"{field}:")[1].split()[0]) / 1024 for field in ("VmRSS", "VmHWM")]


@dataclass(frozen=True)
class Setting:
    """The command line, with a folder and an exit stack that belong to one entry."""

    device: str = "cpu"
    flags: Sequence[str] = ()  # of train.py, for both forms, after those of the entry
    fast_flags: Sequence[str] = ()  # for the fast form only
    peer: Any = None  # the peers.Peer to compare with, None = the reference path
    folder: Path = Path()
    stack: ExitStack = field(default_factory=ExitStack)

    def timed(self, work: Callable[[], object]) -> Form:
        def run(memory: bool) -> Reading:
            with gauge(self.device, memory) as reading:
                work()
            return reading

        return run

    def both(self, words: str, prepare: Callable[[Namespace], Callable[[], object]]) -> list[Form]:
        """The fast form and the reference path of the work that `prepare` makes from the options."""
        return [self.timed(prepare(self.options(words, fast=fast))) for fast in (True, False)]

    def options(self, words: str, *, fast: bool = True) -> Namespace:
        """The options of a training run with the flags of an entry; `fast` is --fast auto, else off."""
        data = self.folder / "data"
        run = ["--checkpoints_dir", str(self.folder), "--dataroot", str(data if data.is_dir() else ROOT)]
        run += ["--display", "console", "--device", self.device, "--fast", "auto" if fast else "off"]
        return TrainOptions().parse([*run, *words.split(), *self.flags, *(self.fast_flags if fast else ())])


@dataclass(frozen=True)
class Case:
    """What is timed: the fast form, and the baseline that it is compared with where one can run."""

    forms: Sequence[Form]
    against: str = "reference path"  # what the baseline is
    units: int = 1  # steps, images, ... of one run; times are reported for one unit
    images: int = 0  # per unit; 0 = the work is not about images
    on_device: bool = False  # CUDA needs several runs to warm up; the FLOPs of the baseline are counted


def measure(name: str, case: Case, *, seconds: float, warm_ups: int = 1) -> Record:
    """Run the forms in turn for this time, after runs that do not count.

    There are at least three rounds, or one if the runs that do not count already took longer than this time.
    """
    forms, counter, start = case.forms, FlopCounterMode(display=False), time.monotonic()
    for form in forms:
        for _ in range(warm_ups if case.on_device else 1):
            with counter if case.on_device and form is not forms[0] else nullcontext():
                form(False)
    peaks = [form(True).peak_mib for form in forms]
    times: list[list[float]] = [[] for _ in forms]
    least = 3 if time.monotonic() - start < max(seconds, SLOW_S) else 1
    end = time.perf_counter() + seconds
    while len(times[0]) < least or time.perf_counter() < end:
        # the order alternates, so that what one form leaves in the caches affects both alike
        turns = list(zip(forms, times, strict=True))
        for form, series in turns if len(times[0]) % 2 else reversed(turns):
            series.append(form(False).seconds / case.units)
    record: Record = {"name": name, "against": case.against, "rounds": len(times[0])}
    for prefix, series, peak in zip(("", "baseline_"), [*times, []], [*peaks, None], strict=False):
        median = statistics.median(series) if series else None
        record[f"{prefix}seconds"], record[f"{prefix}peak_mib"] = median, peak
        record[f"{prefix}images_per_s"] = case.images / median if case.images and median else None
    # of neighbouring runs, because other programs slow both down alike
    ratios = [slow / fast for fast, slow in zip(*times, strict=True)] if times[1:] else []
    ratios *= 2 if len(ratios) == 1 else 1  # quantiles() needs two
    quartiles = statistics.quantiles(ratios, n=4, method="inclusive") if ratios else [None] * 3
    record |= dict(zip(("ratio_low", "ratio", "ratio_high"), quartiles, strict=True))
    flops = counter.get_total_flops() / case.units
    return record | {"gflops": flops / record["seconds"] / 1e9 if flops else None}
