"""Ctrl-C and SIGTERM: a request to stop after this step; a second one stops without a save."""

import signal
from types import FrameType

from util import distributed, log


class Interruption:
    """Within the context the first signal is noted and the loop is left to save; `signal` holds its number."""

    HEARD = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> "Interruption":
        self.signal = 0
        self._before = {heard: signal.signal(heard, self._note) for heard in self.HEARD}
        return self

    def __exit__(self, *error: object) -> None:
        for heard, handler in self._before.items():
            signal.signal(heard, handler)

    def requested(self) -> bool:
        """True on all ranks as soon as one was asked to stop; every rank must call it."""
        agreed = distributed.any_rank(self.signal != 0)
        if agreed and not self.signal:
            self.signal = signal.SIGTERM
        return agreed  # not self.signal: it may have come to this rank alone, after the ranks agreed

    @property
    def exit_code(self) -> int:
        """As a shell counts: 130 for Ctrl-C, 143 for SIGTERM, 0 where nobody asked."""
        return 128 + self.signal if self.signal else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        log.info(
            "\nstopping after this step; once more stops without saving, when what is being written is written"
        )
