"""Ctrl-C and SIGTERM: training saves and stops after the current step; a second signal stops it without saving."""

import signal
from types import FrameType

from util import distributed, log


class Interruption:
    """Inside its context, the first SIGINT or SIGTERM is stored in `signal` instead of ending the process."""

    HANDLED = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> "Interruption":
        self.signal = 0
        self._previous = {number: signal.signal(number, self._handle) for number in self.HANDLED}
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
        """The exit code that shells use: 130 for Ctrl-C, 143 for SIGTERM, 0 without a signal."""
        return 128 + self.signal if self.signal else 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        log.info("\nstopping and saving after this step; a second signal stops without saving")
