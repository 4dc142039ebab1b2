"""The environment variables with which torchrun tells each process its place among the others."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from util.errors import UserError

HINT = "start several processes with torchrun, or unset RANK, WORLD_SIZE and the other variables of torchrun"
HIGHEST_PORT = 65535


def check() -> None:
    """Check all variables, before the processes look for each other or one of them stays silent.

    Raises:
        UserError: a variable is missing, is not a number, or does not fit the others.
    """
    rank, world = _number("RANK", 0), _number("WORLD_SIZE", 1)
    local_rank, local_world = _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", 1)
    if (rank is None) != (world is None):
        there, missing = ("RANK", "WORLD_SIZE") if world is None else ("WORLD_SIZE", "RANK")
        raise UserError(f"{there}={os.environ[there]} is set without {missing}: {HINT}")
    if world is not None:
        _check_below("RANK", rank, "WORLD_SIZE", world)
    if local_world is not None:
        _check_below("LOCAL_RANK", local_rank, "LOCAL_WORLD_SIZE", local_world)
    if world is None:
        if local_rank is not None:
            raise UserError(f"LOCAL_RANK={local_rank} is set without RANK and WORLD_SIZE: {HINT}")
        return
    if local_world is not None and local_world > world:
        raise UserError(f"LOCAL_WORLD_SIZE={local_world} is more than WORLD_SIZE={world}: {HINT}")
    if not os.environ.get("MASTER_ADDR"):
        raise UserError(f"RANK and WORLD_SIZE are set without MASTER_ADDR: {HINT}")
    port = _number("MASTER_PORT", 1)
    if port is None or port > HIGHEST_PORT:
        raise UserError(
            f"MASTER_PORT={os.environ.get('MASTER_PORT', '')} must be a port from 1 to {HIGHEST_PORT}: {HINT}"
        )


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


def _number(name: str, least: int) -> int | None:
    """The value of a variable, None if it is not set."""
    word = os.environ.get(name)
    if word is None:
        return None
    if not (word.isascii() and word.isdecimal() and int(word) >= least):
        raise UserError(f"{name}={word} must be a whole number of at least {least}: {HINT}")
    return int(word)


def _check_below(name: str, rank: int | None, size_name: str, size: int) -> None:
    if rank is not None and rank >= size:
        raise UserError(f"{name}={rank} must be less than {size_name}={size}: {HINT}")
