"""How much memory this process may still take."""

from dataclasses import dataclass
from pathlib import Path

from util.cpu_count import processes_here

OWN_GROUPS = Path("/proc/self/cgroup")  # lines number:controllers:/way/below/CGROUPS
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
    try:
        lines = [line.split(":", 2) for line in OWN_GROUPS.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, own in lines:
        version = VERSIONS.get("memory" if "memory" in controllers.split(",") else controllers)
        if version is not None:
            top = CGROUPS / version.folder
            folder = top / own.lstrip("/")
            around = [folder, *folder.parents]
            found += [version.left(group) for group in around[: around.index(top) + 1]]
    return [left for left in found if left is not None]


@dataclass(frozen=True)
class Version:
    """Where one of the two versions of control groups tells what."""

    folder: str
    limit: str
    used: str
    files: tuple[str, str]  # pages of files count as used, and are given up when needed

    def left(self, group: Path) -> int | None:
        try:
            limit, used = (int((group / name).read_text()) for name in (self.limit, self.used))
        except (OSError, ValueError):  # no such file, or the limit is "max"
            return None
        pages = _numbers(group / "memory.stat")
        return limit - used + sum(pages.get(name, 0) for name in self.files)


# by what stands between the colons of OWN_GROUPS
VERSIONS = {
    "": Version("", "memory.max", "memory.current", ("active_file", "inactive_file")),
    "memory": Version(
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_active_file", "total_inactive_file"),
    ),
}


def _numbers(path: Path) -> dict[str, int]:
    """A file of lines `name number ...`."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
