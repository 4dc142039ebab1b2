"""The environment variables with which torchrun tells each process its place among the others."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from util.errors import UserError

HINT = "start several processes with torchrun, or unset RANK, WORLD_SIZE and the other variables of torchrun"
JOIN_TIMEOUT_S = 120  # between the first process and the last one, as slow disks delay the imports of torch
NOTICE_S = 5.0  # after which a process says what it waits for


def check() -> None:
    """Check all variables, before the processes look for each other or one of them stays silent.

    Raises:
        UserError: a variable is missing, is not a number, or does not fit the others.
    """
    given = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE") if name in os.environ]
    if not given:
        return
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise UserError(f"{given[0]}={os.environ[given[0]]} is set without {name}: {HINT}")
    world = _number("WORLD_SIZE", 1, 10**6)
    _number("RANK", 0, world - 1, f", because WORLD_SIZE={world}")
    local_world = _number("LOCAL_WORLD_SIZE", 1, world, f", because WORLD_SIZE={world}")
    _number("LOCAL_RANK", 0, local_world - 1, f", because LOCAL_WORLD_SIZE={local_world}")
    _number("MASTER_PORT", 1, 65535)


def hosts_store() -> bool:
    """Whether this process waits for the others at MASTER_PORT; under torchrun, a process of torchrun does."""
    return os.environ["RANK"] == "0" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"


@contextmanager
def joining() -> Iterator[float]:
    """The seconds in which all processes must come; a failure becomes a UserError that names their address."""
    timeout_s = _number("ZEBRAWOOD_JOIN_TIMEOUT", 1, 86400, default=JOIN_TIMEOUT_S)
    place = f"MASTER_ADDR={os.environ['MASTER_ADDR']} MASTER_PORT={os.environ['MASTER_PORT']}"
    others = f"RANK={os.environ['RANK']} waits up to {timeout_s} s for the other processes at {place}"
    notice = threading.Timer(NOTICE_S, lambda: print(others, file=sys.stderr, flush=True))
    notice.daemon = True
    notice.start()
    try:
        if not hosts_store():
            _wait_for_listener(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout_s)
        yield timeout_s
    except (RuntimeError, ValueError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"the processes cannot meet at {place} ({lines[0][:160]}): choose another port if another program uses "
            "this one, and check that all processes were started; ZEBRAWOOD_JOIN_TIMEOUT is the time to wait in seconds"
        ) from error
    finally:
        notice.cancel()


def _wait_for_listener(address: str, port: int, timeout_s: float) -> None:
    """Wait until a program accepts connections; torch would also wait for an unknown host, and print stack traces."""
    socket.getaddrinfo(address, port)
    end = time.monotonic() + timeout_s
    while True:
        try:
            return socket.create_connection((address, port), timeout=max(end - time.monotonic(), 1)).close()
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def _number(name: str, least: int, most: int, reason: str = "", *, default: int | None = None) -> int:
    """The value of a variable; if it is not set, `default`, or else `most`."""
    word = os.environ.get(name, str(most if default is None else default))
    if not (word.isascii() and word.isdecimal() and len(word) < 10 and least <= int(word) <= most):
        raise UserError(f"{name}={word} must be a whole number from {least} to {most}{reason}: {HINT}")
    return int(word)
