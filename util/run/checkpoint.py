"""Reading and writing checkpoint files, and `latest_state.pt`, which resumes a run."""

import pickle
import textwrap
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from util import distributed, files, log
from util.errors import UserError
from util.run import size_checks, weight_files

FORMAT = "zebrawood-state-1"


class Stateful(Protocol):
    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


def save(value: object, path: Path) -> None:
    """torch.save, except that a crash or an error leaves the old file unchanged. Raises RunFault.

    The weights of a network (a flat dict of tensors) are stored contiguous and on the CPU, as in upstream
    (pytorch-CycleGAN-and-pix2pix).
    """
    if isinstance(value, dict) and all(isinstance(tensor, Tensor) for tensor in value.values()):
        value = {key: tensor.detach().cpu().contiguous() for key, tensor in value.items()}
    files.write_atomically(path, lambda file: torch.save(value, file), sync=True)


def save_all(contents: dict[Path, object]) -> None:
    """Save each value to its path, in the order of the dict."""
    for path, value in contents.items():
        save(value, path)


def load(path: Path) -> Any:
    """Read a file of torch.save onto the CPU. It may contain only tensors and Python's basic types, and no code.

    Raises:
        UserError: the file is missing or damaged, or contains code.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path} is not a regular file: give the file of a checkpoint")
        _check_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=True)
        size_checks.check_tensors(value)
        return value
    except UserError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise UserError(f"cannot read the checkpoint {path} ({error.strerror}): check the path") from error
    except Exception as error:  # unpickling damaged bytes can raise almost anything
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise UserError(
                f"{path} contains code, which is never run: use a file that contains only a dict of tensors"
            ) from error
        raise UserError(
            f"{path} is not a checkpoint, or it is damaged or incomplete: {_way_out(path)}"
        ) from error


def _check_file(path: Path) -> None:
    """Raise an error if the file would take endless memory or time, or is damaged, which torch.load does not notice.

    Files of torch before 1.6 have no checksums, and torch can be told to leave them out.
    """
    if size_checks.check_file(path):
        with zipfile.ZipFile(path) as archive:
            has_checksums = any(part.CRC for part in archive.infolist())
            if has_checksums and (damaged := archive.testzip()):
                raise zipfile.BadZipFile(f"{damaged} does not match its checksum")


def _way_out(path: Path) -> str:
    """What to do about a damaged file: the other saves in its folder, or to get the file again."""
    prefixes = {prefix for prefix, _ in weight_files.saved(path.parent)} - {path.name.partition("_")[0]}
    if not prefixes:
        return "copy or download it again, or use an older one"
    # the latest numbered epoch first
    older = sorted(prefixes, key=lambda prefix: (prefix.isdecimal(), prefix.zfill(12)), reverse=True)
    return (
        f"copy it again, or use an older save of {path.parent} with --epoch {older[0]} ({', '.join(older)})"
    )


@dataclass
class StateBag:
    """Named objects with a state_dict, saved and loaded as one."""

    parts: dict[str, Stateful] = field(default_factory=dict)

    def state_dict(self) -> dict:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])


class Checkpoint:
    """The contents of `latest_state.pt`, from which a run resumes exactly.

    Args:
        parts: name -> object with a state_dict that is equal on all ranks; the state of rank 0 is saved.
        per_rank: name -> object whose state differs between ranks: random generators, image pools.
    """

    def __init__(self, folder: Path, parts: dict[str, Stateful], per_rank: dict[str, Stateful]) -> None:
        self.path = folder / "latest_state.pt"
        self.parts, self.per_rank = StateBag(parts), StateBag(per_rank)

    def state_dict(self) -> dict:
        """What the file contains; every rank must call it."""
        ranks = distributed.gather(self.per_rank.state_dict())
        return {"format": FORMAT, "parts": self.parts.state_dict(), "ranks": ranks}

    def load(self, path: Path | None = None) -> None:
        """Read `path`, by default `latest_state.pt`, and restore every part.

        Raises:
            UserError: the file is missing, damaged, from another program, or does not fit the options.
        """
        path = path or self.path
        state = load(path)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise UserError(f"{path} was not written by this project: move it away, or choose another --name")
        try:
            self.parts.load_state_dict(state["parts"])
            if len(state["ranks"]) == distributed.world_size():
                self.per_rank.load_state_dict(state["ranks"][distributed.rank()])
            else:
                log.warn(
                    f"the run had {len(state['ranks'])} processes and has {distributed.world_size()} now: random "
                    "generators and image pools are not restored, so the result will not be bit-identical"
                )
        except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            reason = textwrap.shorten(f"{kind}{error}", 200, placeholder=" ...")
            raise UserError(
                f"{path} does not fit the given options or this version of the project ({reason}): leave the "
                "flags out to use the run's own options, or choose another --name"
            ) from error
