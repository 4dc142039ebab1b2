"""Work that training does not wait for: jobs done by a thread of their kind, in the order they were given."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from util import log
from util.errors import UserError


class Background:
    """Within the context a thread for each kind does its jobs; outside, do() does them at once.

    Jobs that build on each other are of one kind. Of each at most one waits while another is done: do()
    holds the training thread back before that. What a job raises is raised by the next call for its kind,
    or when the context is left, which waits for everything.

    A thread begins with its first job. The data loader forks its workers before the first batch, so
    none of them is born while a thread holds a lock, which would then stay locked for ever.
    """

    def __init__(self) -> None:
        self._pools: dict[str, ThreadPoolExecutor] | None = None
        self._jobs: dict[str, deque[Future]] = {}

    def __enter__(self) -> "Background":
        self._pools = {}
        return self

    @property
    def is_on(self) -> bool:
        return self._pools is not None

    def do(self, kind: str, job: Callable[[], object]) -> None:
        """Have `job` done, now or later; it may touch nothing that training goes on to change."""
        if self._pools is None:
            job()
            return
        jobs = self._jobs.setdefault(kind, deque())
        while jobs and (jobs[0].done() or len(jobs) > 1):
            _end_first(jobs)
        if kind not in self._pools:
            self._pools[kind] = ThreadPoolExecutor(1, thread_name_prefix=f"background {kind}")
        jobs.append(self._pools[kind].submit(job))

    def wait(self, kind: str) -> None:
        """Until all jobs of this kind are done."""
        jobs = self._jobs.get(kind, deque())
        while jobs:
            _end_first(jobs)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pools is not None
        for pool in self._pools.values():
            pool.shutdown()
        self._pools = None
        try:
            for kind_of_job in tuple(self._jobs):
                self.wait(kind_of_job)
        except UserError as fault:
            if error is None:
                raise
            log.warn(str(fault))  # the first fault is the one that ends the program


def _end_first(jobs: deque[Future]) -> None:
    """Wait for the first job; its fault stands for all that were given since."""
    try:
        jobs.popleft().result()
    except Exception:
        jobs.clear()
        raise
