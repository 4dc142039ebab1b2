"""Ctrl-C, SIGTERM and SIGHUP: training saves and stops after the current step; a second signal stops it without saving."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from util import distributed, log

HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Inside the context, SIGTERM and SIGHUP raise SystemExit, so that what is open is closed and locks are removed."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with ExitStack() as restored:
        for number in (signal.SIGTERM, HANG_UP):
            if number and signal.getsignal(number) is signal.SIG_DFL:
                restored.callback(signal.signal, number, signal.signal(number, leave))
        yield


class Interruption:
    """Inside its context, the first of these signals is stored in `signal` instead of ending the process.

    SIGHUP reports that the terminal is gone, for example with a dropped connection. Under nohup it is ignored.
    """

    def __enter__(self) -> "Interruption":
        self.signal = 0
        handled = [signal.SIGINT, signal.SIGTERM]
        if HANG_UP and signal.getsignal(HANG_UP) is not signal.SIG_IGN:
            handled.append(HANG_UP)
        self._previous = {number: signal.signal(number, self._handle) for number in handled}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def requested(self) -> bool:
        """Whether any rank has received a signal; every rank must call it."""
        received = distributed.any_rank(self.signal != 0)
        if received and not self.signal:
            self.signal = signal.SIGTERM
        return received  # not self.signal, which this rank alone may have received after the exchange

    @property
    def exit_code(self) -> int:
        """The exit code that shells use: 129 for SIGHUP, 130 for Ctrl-C, 143 for SIGTERM, 0 without a signal."""
        return 128 + self.signal if self.signal else 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        if number == HANG_UP:
            log.leave_terminal()
        log.info("\nstopping and saving after this step; a second signal stops without saving")
