"""Formats results as a table; columns called "its" belong to the baseline, which the last column names."""

from scripts.benchmarks.measure import Record

# title, width, key of the record, factor, decimals, ending
COLUMNS: tuple[tuple[str, int, str, float, int, str], ...] = (
    ("ms", 10, "seconds", 1e3, 1, ""),
    ("its ms", 10, "baseline_seconds", 1e3, 1, ""),
    ("ratio", 8, "ratio", 1, 2, " x"),
    ("from", 7, "ratio_low", 1, 2, ""),
    ("to", 7, "ratio_high", 1, 2, ""),
    ("rounds", 7, "rounds", 1, 0, ""),
    ("MiB", 8, "peak_mib", 1, 0, ""),
    ("its MiB", 8, "baseline_peak_mib", 1, 0, ""),
    ("images/s", 9, "images_per_s", 1, 1, ""),
    ("its", 9, "baseline_images_per_s", 1, 1, ""),
    ("GFLOP/s", 9, "gflops", 1, 0, ""),
    ("of best", 8, "of_ceiling", 100, 0, " %"),
)


def header() -> str:
    return f"{'':22}" + "".join(f"{title:>{width}}" for title, width, *_ in COLUMNS) + "  against"


def row(record: Record) -> str:
    cells = [
        _cell(record[key], factor, decimals, ending).rjust(width)
        for _, width, key, factor, decimals, ending in COLUMNS
    ]
    note = f"; {record['note']}" if record["note"] else ""
    return f"{record['name']:<22}{''.join(cells)}  {record['against']}{note}"


def _cell(value: float | None, factor: float, decimals: int, ending: str) -> str:
    if value is None:
        return "-"
    decimals += decimals == 1 and factor * value < 10
    return f"{factor * value:.{decimals}f}{ending}"
