"""Jobs on background threads, so that training does not wait for files to be written."""

from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from util import log
from util.errors import UserError


class Background:
    """Inside its context, do() runs jobs on one thread per kind, in order; outside, it runs them at once.

    For each kind, one job runs and at most one waits: do() blocks before it queues another. An exception in
    a job is raised by the next call for its kind, or on leaving the context, which waits for all jobs.

    A thread starts with its first job, after the data loader has forked its workers: a worker that is forked while
    a thread holds a lock waits for that lock forever.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._threads: defaultdict[str, ThreadPoolExecutor] = defaultdict(lambda: ThreadPoolExecutor(1))
        self._jobs: defaultdict[str, deque[Future]] = defaultdict(deque)

    def __enter__(self) -> "Background":
        self.is_on = True
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.is_on = False
        for thread in self._threads.values():
            thread.shutdown()
        self._threads.clear()
        try:
            for name in self._jobs:
                self.wait(name)
        except UserError as failure:
            if error is None:
                raise
            log.warn(str(failure))  # `error` is raised

    def do(self, kind: str, job: Callable[[], object]) -> None:
        """Run `job`, which must not read anything that training can change."""
        if not self.is_on:
            job()
            return
        self.wait(kind, unfinished=1)
        self._jobs[kind].append(self._threads[kind].submit(job))

    def wait(self, kind: str, unfinished: int = 0) -> None:
        """Block until at most `unfinished` jobs of this kind are left; raise the exception of one that failed."""
        jobs = self._jobs[kind]
        try:
            while jobs and (jobs[0].done() or len(jobs) > unfinished):
                jobs.popleft().result()
        except Exception:
            jobs.clear()  # the jobs after it often fail for the same reason: report one
            raise
