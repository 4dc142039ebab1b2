"""Files that forked processes must not share, so each process opens them itself."""

import os
from collections.abc import Callable
from typing import Any


class OpenPerProcess:
    """Calling it returns the file of `open_file()`, opened once in each process; the first call is not thread-safe.

    It is pickled without the open file, so `open_file` must be picklable.
    """

    def __init__(self, open_file: Callable[[], Any]) -> None:
        self._open_file = open_file
        self._process_id, self._file = 0, None

    def __call__(self) -> Any:
        if self._file is None or self._process_id != os.getpid():
            self.close()
            self._process_id, self._file = os.getpid(), self._open_file()
        return self._file

    def close(self) -> None:
        """Close the file in this process; the next call opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def __reduce__(self) -> tuple:
        return OpenPerProcess, (self._open_file,)
