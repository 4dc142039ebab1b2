"""Formats results as a table; columns called "its" belong to the baseline, which the last column names."""

from scripts.benchmarks.measure import Record

# title, key of the record, format
COLUMNS = (
    ("seconds", "seconds", ".4g"),
    ("its", "baseline_seconds", ".4g"),
    ("ratio", "ratio", ".2f"),
    ("from", "ratio_low", ".2f"),
    ("to", "ratio_high", ".2f"),
    ("rounds", "rounds", "d"),
    ("MiB", "peak_mib", ".0f"),
    ("its", "baseline_peak_mib", ".0f"),
    ("images/s", "images_per_s", ".4g"),
    ("its", "baseline_images_per_s", ".4g"),
    ("GFLOP/s", "gflops", ".0f"),
    ("of best", "of_ceiling", ".0%"),
)


def header() -> str:
    return " " * 22 + "".join(f"{title:>10}" for title, _, _ in COLUMNS) + "  against"


def row(record: Record) -> str:
    cells = ["-" if record[key] is None else format(record[key], spec) for _, key, spec in COLUMNS]
    note = f"; {record['note']}" if record["note"] else ""
    return f"{record['name']:<22}" + "".join(f"{cell:>10}" for cell in cells) + f"  {record['against']}{note}"
