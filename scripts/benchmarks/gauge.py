"""Seconds and peak memory of a stretch of work, on the CPU or on a CUDA device.

Nothing of ours is imported here: the process of a peer, whose packages have the names of ours, uses it, too.
"""

import ctypes
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """One run: seconds, and MiB beyond what was held before it, None where nobody looked or the machine does not tell."""

    seconds: float
    peak_mib: float | None = None


class Gauge:
    """start(), the work, stop(); on CUDA both wait until the device has done what it was given."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        self._held: float | None = None
        self._started = 0.0

    def start(self, memory: bool) -> None:
        """With `memory` the peak is looked at, too, which costs time: what was given back has to be taken anew."""
        self._held = self._forget_peak() if memory else None
        self._wait()
        self._started = time.perf_counter()

    def stop(self) -> Reading:
        self._wait()
        seconds = time.perf_counter() - self._started
        return Reading(seconds, None if self._held is None else self._peak() - self._held)

    def _wait(self) -> None:
        if self.cuda:
            import torch

            torch.cuda.synchronize()

    def _forget_peak(self) -> float | None:
        """Begin a new peak and return the MiB held now; None where that cannot be done."""
        if self.cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated() / 2**20
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            return _status_mib("VmRSS")
        return None

    def _peak(self) -> float:
        if self.cuda:
            import torch

            return torch.cuda.max_memory_allocated() / 2**20
        return _status_mib("VmHWM")


def _status_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
