"""Which weights the folder of a run holds, from the names of its files."""

from pathlib import Path

from util.errors import UserError


def prefix(epoch: str, load_iter: int) -> str:
    """The prefix of the weight files that `--epoch` or `--load_iter` choose."""
    return f"iter_{load_iter}" if load_iter else epoch


def saved(folder: Path) -> list[tuple[str, str]]:
    """(prefix, net) of every `<prefix>_net_<net>.pth` in a folder, sorted."""
    names = (path.stem.partition("_net_") for path in folder.glob("*_net_*.pth"))
    return sorted((start, net) for start, _, net in names)


def check_saved(folder: Path, start: str) -> None:
    """Refuse to resume from weights that do not exist.

    Raises:
        UserError: no weight file has the prefix `start`.
    """
    found = epochs(folder)
    if not found:
        raise UserError(
            f"--continue_train: there are no weights in {folder}: check --name and --checkpoints_dir, or leave out "
            "--continue_train to start a new run"
        )
    if start not in found:
        raise UserError(
            f"--continue_train: {folder} has no weights of {start}; use one of {', '.join(found)}, or check --name"
        )


def epochs(folder: Path) -> list[str]:
    """The prefixes of the weight files in a folder, numbers first and in order."""
    found = {prefix for prefix, _ in saved(folder)}
    return sorted(found, key=lambda prefix: (not prefix.isdecimal(), len(prefix), prefix))
