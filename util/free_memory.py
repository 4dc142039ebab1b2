"""How much memory this process may still take, within the limits of its container or batch job."""

from contextlib import suppress
from pathlib import Path

from util.cpu_count import local_world_size
from util.errors import UserError

OWN_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
# of an image on its way to a batch: in Pillow's memory (4), in another mode (4), as uint8 and float32 RGB (3 + 12)
BYTES_PER_PIXEL = 20
NEGLIGIBLE = 2**24  # pixels for which the free memory is not measured
SHARE = 4  # --cache auto takes a quarter: training needs memory itself, and so do other programs


def available_bytes() -> int | None:
    """The free memory of the machine, or of its cgroup if that is less; None on systems without /proc.

    Only cgroup v2 is read, because current Linux distributions do not use v1.
    """
    free = [1024 * size for name, size in _numbers(Path("/proc/meminfo")).items() if name == "MemAvailable:"]
    with suppress(OSError):
        for line in OWN_CGROUP.read_text().splitlines():
            if line.startswith("0::"):  # the line of version 2
                own = CGROUPS / line[3:].lstrip("/")
                free += [size for group in (own, *own.parents) for size in _free_in(group)]
    return min(free, default=None)


def share_of_memory() -> int:
    """The bytes that --cache auto may fill in each process; 0 if the free memory is unknown."""
    return (available_bytes() or 0) // (SHARE * local_world_size())


def check_fits(pixels: int, what: str, remedy: str) -> None:
    """Raise UserError if `pixels` pixels of images, called `what`, do not fit into the free memory."""
    needed, free = BYTES_PER_PIXEL * pixels, available_bytes() if pixels > NEGLIGIBLE else None
    if free is not None and needed > free:
        raise UserError(
            f"{what} would take about {in_words(needed)} of memory, but {in_words(free)} are free: {remedy}"
        )


def in_words(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _free_in(group: Path) -> list[int]:
    """The bytes left in a cgroup; empty without a limit."""
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # the folder is not a cgroup, or its limit is "max"
        return []
    pages = _numbers(group / "memory.stat")
    # cached pages of files count as used, but the kernel frees them when memory is needed
    return [limit - used + pages.get("active_file", 0) + pages.get("inactive_file", 0)]


def _numbers(path: Path) -> dict[str, int]:
    """A file of lines `name number ...` as a dict; empty if there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return {line.split()[0]: int(line.split()[1]) for line in lines}
