"""Loss curves as inline SVG: one small chart for each family of losses, of bounded size."""

import html
import math
from collections.abc import Mapping

import numpy as np

from util.pages.loss_history import Series

WIDTH, HEIGHT = 560, 210
X, Y = (54, 544), (176, 8)  # the edges of the plot: left and right, bottom and top
MAX_MEANS = 100  # a longer series is drawn as means, in a band from the minimum to the maximum
COLOURS = 8  # the colour-blind-safe colours --c0 ... --c7 of the page's style
Range = tuple[float, float]


def loss_curves(series: Mapping[str, Series]) -> str:
    """Return the HTML of one chart per family (D_A and D_B, cycle_A and cycle_B); empty without data."""
    families: dict[str, dict[str, Series]] = {}
    for name, values in series.items():
        families.setdefault(name.split("_")[0], {})[name] = values
    charts = []
    for family, members in families.items():
        names = list(members)
        for start in range(0, len(names), COLOURS):
            part = {name: members[name] for name in names[start : start + COLOURS]}
            if any(values.points for values in part.values()):
                charts.append(chart(family, part))
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def chart(title: str, series: Mapping[str, Series]) -> str:
    """Return one <figure> with a legend and an <svg>. At least one series has a point."""
    colours = {name: f"var(--c{index})" for index, name in enumerate(series)}
    data = {name: np.array(values.points) for name, values in series.items() if values.points}
    joined = np.concatenate(list(data.values()))
    left, right = float(joined[:, 0].min()), float(joined[:, 0].max())
    xs = (left, right) if left < right else (left - 1, right + 1)
    ys = y_range(joined[:, 2:])
    curves = "".join(
        curve(np.hstack([pixels(points[:, :1], xs, *X), pixels(points[:, 1:], ys, *Y)]), colours[name])
        for name, points in data.items()
    )
    legend = "".join(
        f'<span><i style="background:{colours[name]}"></i>{html.escape(name)} <b>{values.last:.3f}</b></span>'
        for name, values in series.items()
    )
    label, clip = html.escape(title), f"clip-{html.escape(next(iter(series)))}"
    return (
        f'<figure class="chart"><figcaption>{legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><clipPath id="{clip}">'
        f'<rect x="{X[0]}" y="{Y[1] - 2}" width="{X[1] - X[0]}" height="{Y[0] - Y[1] + 4}"/></clipPath>'
        f'{axes(xs, ys)}<g clip-path="url(#{clip})">{curves}</g></svg></figure>'
    )


def pixels(values: np.ndarray, shown: Range, start: int, end: int) -> np.ndarray:
    """Map the range `shown` linearly to the pixels from `start` to `end`."""
    return start + (values - shown[0]) / (shown[1] - shown[0]) * (end - start)


def y_range(ys: np.ndarray) -> Range:
    """Return the range between the 1st and the 99th percentile with a margin, extended to 0 if that is near."""
    low, high = (float(value) for value in np.percentile(ys, [1, 99]))
    if high - low < 1e-9 * max(abs(low), abs(high), 1.0):
        margin = abs(high) * 0.1 or 1.0
        return low - margin, high + margin
    margin = (high - low) * 0.08
    return 0.0 if 0 <= low < high / 2 else low - margin, 0.0 if low < high / 2 <= 0 else high + margin


def curve(points: np.ndarray, colour: str) -> str:
    """Draw `points` (N, 4) of x, mean, minimum and maximum in pixels, N > 0; a single point as a dot."""
    if len(points) == 1:
        x, y, *_ = points[0]
        return f'<circle style="fill:{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
    starts = np.linspace(0, len(points), min(MAX_MEANS, len(points)), endpoint=False).astype(int)
    means = np.add.reduceat(points[:, :2], starts) / np.diff(starts, append=len(points))[:, None]
    line = f'<polyline class="line" style="stroke:{colour}" points="{coordinates(means)}"/>'
    if len(points) == len(means):
        return line
    # y grows downwards, so the minimum is the lower edge
    edges = np.maximum.reduceat(points[:, 2], starts), np.minimum.reduceat(points[:, 3], starts)[::-1]
    band = np.column_stack([np.concatenate([means[:, 0], means[::-1, 0]]), np.concatenate(edges)])
    return f'<polygon class="band" style="fill:{colour}" points="{coordinates(band)}"/>{line}'


def coordinates(points: np.ndarray) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points.clip(-9 * HEIGHT, 9 * HEIGHT).tolist())


def axes(xs: Range, ys: Range) -> str:
    (left, right), (bottom, _) = X, Y
    x_ticks, y_ticks = nice_ticks(*xs, 6), nice_ticks(*ys, 4)
    parts = []
    for value, y in zip(y_ticks, pixels(y_ticks, ys, *Y), strict=True):
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value, x in zip(x_ticks, pixels(x_ticks, xs, *X), strict=True):
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{short(value)}</text>')
    parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text x="{(left + right) / 2}" y="{HEIGHT - 3}" text-anchor="middle">images</text>')
    return "".join(parts)


def nice_ticks(low: float, high: float, count: int) -> np.ndarray:
    """Return about `count` round values within [low, high], in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    return np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1) * step


def short(value: float) -> str:
    """1500 -> 1.5k, 2000000 -> 2M, 0.30000000000000004 -> 0.3."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{unit}"
    return f"{value:.6g}"
