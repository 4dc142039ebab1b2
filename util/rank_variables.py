"""The environment variables with which torchrun tells each process its place among the others."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from util.errors import UserError

HINT = "start several processes with torchrun, or unset RANK, WORLD_SIZE and the other variables of torchrun"


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


@contextmanager
def connection_errors() -> Iterator[None]:
    """Report a failure to reach the other processes as a UserError that names their address."""
    address, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    try:
        socket.getaddrinfo(address, int(port))  # torch would try for half an hour to find an unknown host
        yield
    except (RuntimeError, ValueError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"the processes cannot meet at MASTER_ADDR={address} MASTER_PORT={port} ({lines[0][:160]}): choose "
            "another port if another program uses this one, and check that all processes were started"
        ) from error


def _number(name: str, least: int, most: int, reason: str = "") -> int:
    """The value of a variable, `most` if it is not set."""
    word = os.environ.get(name, str(most))
    if not (word.isascii() and word.isdecimal() and len(word) < 10 and least <= int(word) <= most):
        raise UserError(f"{name}={word} must be a whole number from {least} to {most}{reason}: {HINT}")
    return int(word)
