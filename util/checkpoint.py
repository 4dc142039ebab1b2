"""Writing files whole or not at all, and the one file from which a run goes on."""

import pickle
import zipfile
from pathlib import Path
from typing import Any, Protocol

import torch

from util import distributed, files, log
from util.errors import UserError

FORMAT = "zebrawood-state-1"


class Stateful(Protocol):
    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


def save(value: object, path: Path) -> None:
    """torch.save, whole or not at all."""
    files.stream_whole(path, lambda file: torch.save(value, file))


def load(path: Path) -> Any:
    """What torch.save wrote, on the CPU; weights and plain values only, so that reading runs no code.

    Raises:
        UserError: no such file, damaged, or it holds code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read by this user: check its permissions") from error
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported" in str(error):
            raise UserError(
                f"{path} holds more than weights, and reading it would run its code: refused"
            ) from error
        raise UserError(f"{path} is not a checkpoint, or is damaged: copy or download it again") from error
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        OSError,
        zipfile.BadZipFile,
        UnicodeDecodeError,
    ) as error:
        raise UserError(
            f"{path} is damaged or cut short: copy or download it again, or use an older one"
        ) from error


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
        if set(state["parts"]) != set(self.parts):
            raise UserError(
                f"{self.path} holds {sorted(state['parts'])}, not {sorted(self.parts)}: another version?"
            )
        for name, part in self.parts.items():
            try:
                part.load_state_dict(state["parts"][name])
            except (RuntimeError, KeyError, ValueError) as error:
                raise UserError(
                    f"{self.path} does not fit these options ({_first_line(error)}): "
                    "go on with the run's own options (leave them out), or choose another --name"
                ) from error
        self._load_ranks(state["ranks"])

    def _load_ranks(self, ranks: list[dict]) -> None:
        if len(ranks) != distributed.world_size():
            log.warn(
                f"the run had {len(ranks)} processes and has {distributed.world_size()} now: "
                "random numbers and image pools start anew, so it does not repeat to the bit"
            )
            return
        for name, part in self.per_rank.items():
            part.load_state_dict(ranks[distributed.rank()][name])


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:160]
