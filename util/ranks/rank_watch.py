"""Notices when a process of a run ends before the others, and ends this process, too, with a sentence that names it.

Every process holds a connection to rank 0. The system closes it when the process ends, however that happens. Rank 0
tells the others. Without this, they would wait in their next collective operation until its time limit.
"""

import os
import secrets
import selectors
import socket
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from util.errors import UserError

GRACE_S = 15.0  # for this process to end by the error of its own collective operation
END_S = 5.0  # how long such an error waits for the news that a process has ended
GOODBYE, READY, TAKEN = -1, -2, -3  # messages beside the number of the rank that ended
RANK_BYTES = 4
LOOPBACK = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}


class RankWatch:
    """The connections of this process; the constructor returns when all processes of the run have come.

    Args:
        store: where rank 0 leaves its port, a torch.distributed.Store.
        timeout_s: for all processes to come.

    Raises:
        OSError: they do not come in this time.
        UserError: another process has the same rank.
    """

    def __init__(self, store: Any, rank: int, world: int, timeout_s: float) -> None:
        self.rank = rank
        self.ended = threading.Event()  # set when `lost` is known
        self.lost = -1  # the rank that ended
        self.peers: dict[int, socket.socket] = {}
        end = time.monotonic() + timeout_s
        if rank == 0:
            self._gather(store, world, end)
        else:
            self._join(store, end)
        if hasattr(os, "register_at_fork"):  # data workers must not keep the connections open
            os.register_at_fork(after_in_child=self._close)
        self._previous_hook, sys.excepthook = sys.excepthook, self._report
        threading.Thread(target=self._listen, daemon=True, name="rank watch").start()

    def _gather(self, store: Any, world: int, end: float) -> None:
        """Accept a connection of every other rank that shows the token which only they can read in the store."""
        token = secrets.token_bytes(16)
        address = os.environ["MASTER_ADDR"]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((LOOPBACK.get(address, ""), 0), family=family, backlog=world) as server:
            store.set("watch", server.getsockname()[1].to_bytes(RANK_BYTES, "big") + token)
            while len(self.peers) < world - 1:
                server.settimeout(max(end - time.monotonic(), 0.01))
                peer = server.accept()[0]
                peer.settimeout(5)
                try:
                    hello = _read(peer, len(token) + RANK_BYTES)
                except OSError:
                    continue
                rank = _number(hello[len(token) :])
                if not secrets.compare_digest(hello[: len(token)], token) or rank in self.peers:
                    _send(peer, TAKEN)
                    continue
                self.peers[rank] = peer
        for peer in self.peers.values():
            _send(peer, READY)

    def _join(self, store: Any, end: float) -> None:
        word = store.get("watch")
        address = (os.environ["MASTER_ADDR"], _number(word[:RANK_BYTES]))
        peer = self.peers[0] = socket.create_connection(address, timeout=max(end - time.monotonic(), 1))
        peer.sendall(word[RANK_BYTES:] + self.rank.to_bytes(RANK_BYTES, "big"))
        if _number(_read(peer, RANK_BYTES)) == TAKEN:
            raise UserError(f"RANK={self.rank} was given to two processes: each needs its own number")

    def stop(self) -> None:
        """Part from the other processes, which have also finished."""
        sys.excepthook = self._previous_hook
        for peer in self.peers.values():
            _send(peer, GOODBYE)

    def _close(self) -> None:
        for peer in self.peers.values():
            peer.close()

    def _listen(self) -> None:
        """Wait until a process ends without a goodbye; runs on a thread of its own."""
        with selectors.DefaultSelector() as selector:
            for rank, peer in self.peers.items():
                peer.settimeout(GRACE_S)
                selector.register(peer, selectors.EVENT_READ, rank)
            while selector.get_map():
                for key, _ in selector.select():
                    try:
                        message = _number(_read(self.peers[key.data], RANK_BYTES))
                    except OSError:
                        message = key.data
                    selector.unregister(key.fileobj)
                    if message != GOODBYE:
                        self._end(message)

    def _end(self, lost: int) -> None:
        """Tell the other processes and the main thread, and end this process if the latter does not do so."""
        self.lost = lost
        self.ended.set()
        for rank, peer in self.peers.items():
            if rank != lost:
                _send(peer, lost)
        time.sleep(GRACE_S)
        self._tell()
        os._exit(1)

    def _tell(self) -> None:
        sys.stderr.write(
            f"error: rank {self.lost} of this run has ended too early, so rank {self.rank} ends, too; the messages of "
            f"rank {self.lost} say why, and the last saved state is intact\n"
        )
        sys.stderr.flush()

    def _report(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """The excepthook: an error of a collective operation is that of the process that ended."""
        if isinstance(error, RuntimeError) and self.ended.wait(END_S):
            self._tell()
        else:
            self._previous_hook(kind, error, trace)


def _send(peer: socket.socket, message: int) -> None:
    with suppress(OSError):  # this process has ended as well
        peer.sendall(message.to_bytes(RANK_BYTES, "big", signed=True))


def _read(peer: socket.socket, count: int) -> bytes:
    """The next bytes of a connection; OSError if it is closed."""
    received = b""
    while len(received) < count:
        some = peer.recv(count - len(received))
        if not some:
            raise ConnectionResetError("another process of this run has ended")
        received += some
    return received


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big", signed=True)
