"""Work that training does not wait for: jobs done by one thread, in the order they were given."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from util import log
from util.errors import UserError


class Background:
    """Within the context a thread does the jobs; outside, do() does them at once.

    Of one kind at most one job waits while another is done: do() holds the training thread back before
    that. What a job raises is raised by the next call for its kind, or when the context is left, which
    waits for everything.

    The thread begins with the first job. The data loader forks its workers before the first batch, so
    none of them is born while the thread holds a lock, which would then stay locked for ever.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: dict[str, deque[Future]] = {}

    def __enter__(self) -> "Background":
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        return self

    @property
    def is_on(self) -> bool:
        return self._pool is not None

    def do(self, kind: str, job: Callable[[], object]) -> None:
        """Have `job` done, now or later; it may touch nothing that training goes on to change."""
        if self._pool is None:
            job()
            return
        jobs = self._jobs.setdefault(kind, deque())
        while jobs and (jobs[0].done() or len(jobs) > 1):
            _end_first(jobs)
        jobs.append(self._pool.submit(job))

    def wait(self, kind: str) -> None:
        """Until all jobs of this kind are done."""
        jobs = self._jobs.get(kind, deque())
        while jobs:
            _end_first(jobs)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pool is not None
        self._pool.shutdown()
        self._pool = None
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
