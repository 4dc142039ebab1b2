"""Results as lines of a table that a person reads."""

from scripts.benchmarks.measure import Result

TITLES = (
    "",
    "ms",
    "its ms",
    "ratio",
    "quartiles",
    "rounds",
    "MiB",
    "its MiB",
    "images/s",
    "its",
    "GFLOP/s",
    "of best",
)
WIDTHS = (22, 10, 10, 8, 15, 7, 8, 8, 9, 9, 9, 8)


def header() -> str:
    return _line(TITLES) + "  beside"


def row(result: Result) -> str:
    """One line; `its` is the baseline's, which the last column names."""
    spread = "-" if result.ratio is None else f"{result.ratio_low:.2f} to {result.ratio_high:.2f}"
    cells = (
        result.name,
        _number(1e3 * result.seconds),
        _number(None if result.baseline_seconds is None else 1e3 * result.baseline_seconds),
        "-" if result.ratio is None else f"{result.ratio:.2f} x",
        spread,
        str(result.rounds),
        _number(result.peak_mib, digits=0),
        _number(result.baseline_peak_mib, digits=0),
        _number(result.images_per_s),
        _number(result.baseline_images_per_s),
        _number(result.gflops, digits=0),
        "-" if result.of_ceiling is None else f"{100 * result.of_ceiling:.0f} %",
    )
    return _line(cells) + f"  {result.beside}" + (f"; {result.note}" if result.note else "")


def _line(cells: tuple[str, ...]) -> str:
    first, *rest = zip(cells, WIDTHS, strict=True)
    return f"{first[0]:<{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in rest)


def _number(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits + (digits > 0 and value < 10)}f}"
