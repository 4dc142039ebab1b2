"""The number of CPU cores that a process may use, and the default number of data workers."""

import os
import sys

# forked workers share the memory of cached images; macOS cannot fork safely, Windows not at all
WORKER_START_METHOD = "fork" if sys.platform == "linux" else None
MAX_WORKERS = 8
MAX_WORKERS_CACHED = 4  # cached images need little work after the first epoch


def usable_cores() -> int:
    """The cores that each torchrun process of this machine may use, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_world_size())


def local_world_size() -> int:
    """The number of processes that torchrun started on this machine; 1 without torchrun."""
    word = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(word)) if word.isdecimal() else 1


def default_num_threads(*, cached: bool) -> int:
    """The default of --num_threads: all cores but one, which training uses, up to a limit."""
    return min(usable_cores() - 1, MAX_WORKERS_CACHED if cached else MAX_WORKERS)


def limit_spinning() -> None:
    """Let OpenMP's threads sleep soon while they wait for each other, unless the user has chosen how they wait.

    By default they spin for milliseconds, which on a busy machine takes the time from the threads that they wait
    for. OpenMP reads the variable when torch is imported, so this must be called before.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "1000"
