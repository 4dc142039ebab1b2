"""Going back to an earlier save of a run: what was saved later is set aside, so that nothing is overwritten."""

import re
import shutil
from pathlib import Path

from util import files
from util.clock import Clock

LOGS = ("loss_log.txt", "losses.jsonl")
_NUMBERED = re.compile(r"(?:(\d+)|iter_(\d+))_(?:net_.+\.pth|state\.pt)")
_IMAGE = re.compile(r"epoch(\d+)_.+\.png")


def set_aside_later(folder: Path, clock: Clock, *, latest: bool) -> Path | None:
    """Move the files of a run that were saved after `clock` into a new sub-folder, with copies of the logs.

    With `latest` the files `latest_*` are among them. Returns the sub-folder, or None if there are no such files.

    Raises:
        RunFault: a file cannot be moved.
    """
    later = [path for path in sorted(folder.glob("*_*")) if _is_later(path, clock)]
    later += [path for path in sorted(folder.glob("web/images/*.png")) if _is_later(path, clock)]
    if latest:
        # the state is moved last, so that until then --continue_train resumes the run as it was
        later += [*sorted(folder.glob("latest_net_*.pth")), *folder.glob("latest_state.pt")]
    if not later:
        return None
    aside = files.unused(folder / f"after_epoch_{clock.epochs_begun}")
    try:
        files.make_folder(aside)
        for name in LOGS:
            if (folder / name).is_file():
                shutil.copy2(folder / name, aside / name)
        for path in later:
            target = aside / path.relative_to(folder)
            files.make_folder(target.parent)
            path.rename(target)
    except OSError as error:
        raise files.cannot_write(aside, error) from error
    return aside


def _is_later(path: Path, clock: Clock) -> bool:
    """Whether a file has the number of an epoch or of an image that `clock` has not reached."""
    if found := _NUMBERED.fullmatch(path.name):
        epoch, images = found.groups()
        return int(epoch) >= clock.epoch if epoch else int(images) > clock.images
    shown = _IMAGE.fullmatch(path.name)
    return shown is not None and int(shown[1]) > clock.epochs_begun


def superseded(prefixes: set[str], keep: int) -> list[str]:
    """The numbered prefixes (epochs, and `iter_<images>`) that are older than the last `keep` of their kind."""
    old: list[str] = []
    for kind in (r"(\d+)", r"iter_(\d+)"):
        numbered = {int(found[1]): found[0] for prefix in prefixes if (found := re.fullmatch(kind, prefix))}
        old += [numbered[number] for number in sorted(numbered)[:-keep]]
    return old
