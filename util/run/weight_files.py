"""Which weights a run's folder holds, told from the names of its files."""

from pathlib import Path

from util.errors import UserError


def prefix(epoch: str, load_iter: int) -> str:
    """What the names of the weights begin with that `--epoch` or `--load_iter` ask for."""
    return f"iter_{load_iter}" if load_iter else epoch


def saved(folder: Path) -> list[tuple[str, str]]:
    """(prefix, net) of every `<prefix>_net_<net>.pth` in a folder, in order."""
    names = (path.stem.partition("_net_") for path in folder.glob("*_net_*.pth"))
    return sorted((start, net) for start, _, net in names)


def check_saved(folder: Path, start: str) -> None:
    """Refuse to go on with weights that are not there.

    Raises:
        UserError: no name begins with `start`.
    """
    found = sorted({one for one, _ in saved(folder)})
    if start not in found:
        raise UserError(
            f"--continue_train: {folder} holds no weights of {start}; it holds "
            f"{', '.join(found) or 'none'}; check --name and --checkpoints_dir, or leave the flag out to begin"
        )
