"""How many processors there are for us, and how many processes load images where nobody says it, started how."""

import os
import sys

# the default of newer Pythons would not share the memory in which images are kept; Macs cannot fork safely
START = "fork" if sys.platform == "linux" else None
MOST = 8
MOST_CACHED = 4  # of images that are kept: after the first epoch little is left to do


def cores() -> int:
    """The processors that each process of torchrun on this machine may use."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, mine // processes_here())


def processes_here() -> int:
    """How many processes torchrun has started on this machine, 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def default_num_threads(*, cached: bool) -> int:
    """One less than there are cores, so that the training itself keeps one, and no more than are of use."""
    return min(cores() - 1, MOST_CACHED if cached else MOST)
