"""How much memory this process may still take."""

from pathlib import Path

from data.workers import processes_here

CGROUPS = Path("/sys/fs/cgroup")
SHARE = 4  # a quarter of what is left may be filled unasked: training itself needs some, and so do others


def available_bytes() -> int | None:
    """What the machine, and the container or batch job we run in, have left; None where they do not tell."""
    known = [left for left in (_machine(), *_groups()) if left is not None]
    return min(known, default=None)


def share_of_memory() -> int:
    """The bytes that images may take without being asked for; 0 where the system does not tell."""
    return (available_bytes() or 0) // (SHARE * processes_here())


def _machine() -> int | None:
    kilobytes = _numbers(Path("/proc/meminfo")).get("MemAvailable:")
    return None if kilobytes is None else 1024 * kilobytes


def _groups() -> list[int]:
    """What is left of the limit of each control group around this process."""
    own = _own_group()
    if own is None:
        return []
    folder = CGROUPS / own
    around = [folder, *folder.parents]
    return [left for group in around[: around.index(CGROUPS) + 1] if (left := _left(group)) is not None]


def _own_group() -> str | None:
    """Our place below CGROUPS, where the system has groups of the second version."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    return next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)


def _left(group: Path) -> int | None:
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such file, or the limit is "max"
        return None
    files = _numbers(group / "memory.stat")  # pages of files count as used, and are given up when needed
    return limit - used + files.get("active_file", 0) + files.get("inactive_file", 0)


def _numbers(path: Path) -> dict[str, int]:
    """A file of lines `name number ...`."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
