"""The folders of results: those of different inputs never mix, and complete results replace earlier ones at once."""

import json
import os
import shutil
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from util import log
from util.clock import Clock
from util.errors import UserError
from util.files import cannot_write, make_folder, open_regular, set_aside, write_atomically
from util.run import size_checks

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

INPUT_FILE = "input.json"
LARGEST_INPUT_FILE = 1 << 18  # bytes
# besides the options that decide pixels, what an image is made from
INPUTS = (
    "dataroot",
    "model",
    "model_suffix",
    "epoch",
    "load_iter",
    "seed",
    "labels",
    "truncation",
    "eval",
    "no_ema",
)


def inputs_of(opt: Namespace) -> dict[str, object]:
    """Name -> value of the options that decide which images are made from what."""
    names = sorted({*INPUTS, *opt.pixel_options} & vars(opt).keys())
    inputs = {name: getattr(opt, name) for name in names}
    if opt.dataroot is not None:
        inputs["dataroot"] = str(Path(opt.dataroot).resolve())
    return json.loads(json.dumps(inputs, default=str))


def describe_results(opt: Namespace) -> str:
    """What the results are made from, e.g. `test · epoch 200 (latest) · datasets/maps · 2026-01-31 12:00`."""
    if opt.load_iter:
        weights = f"weights after {opt.load_iter:,} images"
    else:
        number = saved_epoch(Path(opt.checkpoints_dir, opt.name)) if opt.epoch == "latest" else None
        weights = f"epoch {opt.epoch}" if number is None else f"epoch {number} ({opt.epoch})"
    parts = [opt.phase, weights, opt.dataroot, time.strftime("%Y-%m-%d %H:%M")]
    return " · ".join(str(part) for part in parts if part)


def saved_epoch(folder: Path) -> int | None:
    """The number of the newest epoch of a run, from its latest_state.pt without reading the tensors; None if unknown."""
    try:
        path = folder / "latest_state.pt"
        size_checks.check_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        clock = Clock()
        clock.load_state_dict(state["parts"]["clock"])
    except Exception:  # a missing or damaged file, or one of upstream, does not matter for pictures
        return None
    return clock.epochs_begun


@contextmanager
def new_results(folder: Path, inputs: Mapping[str, object]) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which takes its name at the end of the block.

    Earlier results of the same `inputs` are replaced then; those of other inputs are renamed, with a message. If the
    block fails, what it has made stays in `<folder>_unfinished` until the next start, and `folder` is unchanged.

    Raises:
        UserError: another process is making results for `folder`.
        RunFault: a file cannot be written.
    """
    draft = folder.with_name(f"{folder.name}_unfinished")
    new_parents = [parent for parent in folder.parents if not parent.exists()]
    lock = _lock(draft)
    try:
        _remove_content(draft)
        try:
            yield draft
        except BaseException:
            if any((draft / "images").rglob("*.*")):
                log.info(f"the results made so far are in {draft}")
            else:
                shutil.rmtree(draft, ignore_errors=True)
                with suppress(OSError):  # another process uses them now
                    for parent in new_parents:
                        parent.rmdir()
            raise
        write_atomically(draft / INPUT_FILE, json.dumps(inputs, indent=1).encode())
        _publish(draft, folder, inputs)
    finally:
        if lock is not None:
            os.close(lock)


def _lock(draft: Path) -> int | None:
    """Make the folder and lock it; the system releases the lock of a killed process."""
    while True:
        if draft.is_symlink():  # in results from somebody else; what it leads to must not be emptied
            draft.unlink()
        make_folder(draft)
        if fcntl is None:
            return None
        lock = os.open(draft, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise UserError(
                f"another process is writing results to {draft}: wait for it, or give another --results_dir"
            ) from error
        except OSError:
            return lock  # this file system has no locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), draft.stat()):
                return lock
        os.close(lock)  # its former owner has renamed it before the lock was free


def _remove_content(folder: Path) -> None:
    for path in folder.iterdir():
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder with its content, or a link without what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _publish(draft: Path, folder: Path, inputs: Mapping[str, object]) -> None:
    """Give the draft its name, after replacing or renaming the folder that has it."""
    replaced = folder.with_name(f"{folder.name}_replaced")
    try:
        if folder.exists() and _read_inputs(folder) == inputs:
            _remove(replaced)
            folder.rename(replaced)
        elif folder.exists():
            log.info(f"the results of another input were moved to {set_aside(folder)}")
        draft.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    _remove(replaced)


def _read_inputs(folder: Path) -> object:
    try:
        with open_regular(folder / INPUT_FILE) as file:
            return json.loads(file.read(LARGEST_INPUT_FILE))
    except (OSError, ValueError, RecursionError):
        return None
