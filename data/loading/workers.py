"""The worker processes of torch's DataLoader: how they are started, and how they treat signals."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from data.loading.sampler import EpochSampler
from util.cpu_count import WORKER_START_METHOD
from util.errors import RunFault, UserError, one_line

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MIN_OPEN_FILES = 128  # each worker, and each batch on its way, takes some

# torch warns of more workers than cores, but the user has chosen the number
warnings.filterwarnings("ignore", message="This DataLoader will create")
WORKER_HINT = (
    "if memory or shared memory ran out, lower --num_threads; with 0 the main process loads the data"
)


def data_loader(
    items: Dataset, sampler: EpochSampler, num_threads: int, *, collate: Callable, pin_memory: bool
) -> DataLoader:
    """A DataLoader whose workers, at most one for each batch, stay alive between epochs."""
    workers = min(num_threads, len(sampler))
    if workers:
        _need_open_files(num_threads)
    return DataLoader(
        items,
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context=WORKER_START_METHOD if workers else None,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        collate_fn=collate,
        worker_init_fn=_ignore_signals,
        # without it, a DataLoader draws a number from the global generator in each epoch
        generator=torch.Generator(),
    )


def _need_open_files(num_threads: int) -> None:
    """Raise UserError if the system allows too few open files: workers fail in endless messages then."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else MIN_OPEN_FILES
    if allowed < MIN_OPEN_FILES:
        raise UserError(
            f"--num_threads {num_threads} needs more open files than {allowed}: allow more (ulimit -n 1024), or use "
            "--num_threads 0"
        )


def start_workers(loader: DataLoader) -> Iterator[Any]:
    """`iter(loader)` without its SIGCHLD handler, which would raise in arbitrary code of the main process.

    The main process notices a dead worker within seconds while it waits for its batch.
    """
    child_signal: int = getattr(signal, "SIGCHLD", 0)  # Windows has none
    handler = signal.getsignal(child_signal) if child_signal else None
    try:
        batches = iter(loader)
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise RunFault(
            f"the processes that load data (--num_threads) could not be started ({reason}); {WORKER_HINT}"
        ) from error
    if handler is not None and signal.getsignal(child_signal) is not handler:
        signal.signal(child_signal, handler)
    return batches


def _ignore_signals(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the main process, which saves first and then ends the workers."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C and `timeout` send their signal to the whole process group
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked worker inherits the handler of the main process
