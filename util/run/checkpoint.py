"""Writing files whole or not at all, and the one file from which a run goes on."""

import pickle
import struct
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from util import distributed, files, log
from util.errors import UserError
from util.run.snapshot import Snapshot

FORMAT = "zebrawood-state-1"
# what unpickling is known to raise on damaged files, and load_state_dict on those of other nets
DAMAGE = (
    *(RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError),
    *(OSError, EOFError, MemoryError, struct.error, zipfile.BadZipFile, pickle.UnpicklingError),
)
MISFIT = (RuntimeError, LookupError, ValueError, TypeError, AttributeError)


class Stateful(Protocol):
    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


def save(value: object, path: Path, *, form: Callable[[Any], object] = lambda value: value) -> None:
    """torch.save of form(value), whole or not at all; within Deferred, when that is written."""
    if Deferred.active is None:
        _write(value, path, form)
    else:
        Deferred.active.add(value, path, form)


def _write(value: object, path: Path, form: Callable[[Any], object]) -> None:
    files.stream_whole(path, lambda file: torch.save(form(value), file))


class Deferred:
    """Within the context save() writes nothing, but keeps a copy of what it is given; write() is to follow."""

    active: ClassVar["Deferred | None"] = None  # so that plugins need not hand it through save_networks()

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._writes: list[Callable[[], None]] = []

    def __enter__(self) -> "Deferred":
        Deferred.active = self
        return self

    def __exit__(self, *error: object) -> None:
        Deferred.active = None

    def add(self, value: object, path: Path, form: Callable[[Any], object]) -> None:
        self._writes.append(partial(_write, self._snapshot.of(value), path, form))

    def write(self) -> None:
        """All files in the order of their save(); any thread may."""
        for write in self._writes:
            write()


def load(path: Path) -> Any:
    """What torch.save wrote, on the CPU; weights and plain values only, so that reading runs no code.

    Raises:
        UserError: no such file, damaged, or it holds code.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange files, about which the error says more
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}") from error
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check it, and its permissions") from error
    except DAMAGE as error:
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise UserError(
                f"{path} holds more than weights, and reading it would run its code: refused; "
                "get the weights alone, as a dict of tensors"
            ) from error
        raise UserError(
            f"{path} is no checkpoint, or is damaged or cut short: copy or download it again, or use an older one"
        ) from error


class StateBag:
    """Several stateful things as one."""

    def __init__(self) -> None:
        self.parts: dict[str, Stateful] = {}

    def state_dict(self) -> dict:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])


class Checkpoint:
    """`latest_state.pt`: everything a run needs to go on at the very image, in one file.

    Args:
        folder: the run's folder.
        parts: name -> anything with state_dict; the same on all ranks, so rank 0's is written.
        per_rank: the same for what differs between ranks: random generators, image pools.
    """

    def __init__(self, folder: Path, parts: dict[str, Stateful], per_rank: dict[str, Stateful]) -> None:
        self.path = folder / "latest_state.pt"
        self.parts = parts
        self.per_rank = per_rank

    def save(self) -> None:
        """Every rank must call it; rank 0 writes."""
        ranks = distributed.gather({name: part.state_dict() for name, part in self.per_rank.items()})
        if log.is_main():
            parts = {name: part.state_dict() for name, part in self.parts.items()}
            save({"format": FORMAT, "parts": parts, "ranks": ranks}, self.path)
        distributed.barrier()

    def load(self) -> None:
        """Put every part back.

        Raises:
            UserError: the file is missing, damaged, from elsewhere, or of another architecture.
        """
        state = load(self.path)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise UserError(
                f"{self.path} was not written by this project: move it away, or choose another --name"
            )
        if set(state.get("parts", ())) != set(self.parts):
            raise UserError(
                f"{self.path} does not hold {', '.join(sorted(self.parts))}: it is of another version of this "
                "project; move it away, or choose another --name"
            )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state["parts"][name])
            self._load_ranks(state["ranks"])
        except MISFIT as error:
            raise UserError(
                f"{self.path} does not fit these options ({_reason(error)}): "
                "go on with the run's own options (leave them out), or choose another --name"
            ) from error

    def _load_ranks(self, ranks: list[dict]) -> None:
        if len(ranks) != distributed.world_size():
            log.warn(
                f"the run had {len(ranks)} processes and has {distributed.world_size()} now: "
                "random numbers and image pools start anew, so it does not repeat to the bit"
            )
            return
        for name, part in self.per_rank.items():
            part.load_state_dict(ranks[distributed.rank()][name])


def _reason(error: Exception) -> str:
    """What torch says of the first tensor that does not fit; or the name of what is missing."""
    if isinstance(error, LookupError):
        return f"it lacks {error}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if not line.startswith("Error(s) in loading")), type(error).__name__)
    return textwrap.shorten(first, 160, placeholder=" ...")
