"""Loss curves as inline SVG: one small chart for each family of losses, of bounded size."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from util.pages.loss_history import Series

WIDTH, HEIGHT = 560, 210
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 8, 34  # margins
MAX_RAW_POINTS = 80  # a longer series is drawn as means, in a band from the minimum to the maximum
MAX_MEANS = 100
COLOURS = 8  # the colour-blind-safe colours --c0 ... --c7 of the page's style
Value = TypeVar("Value", float, np.ndarray)


@dataclass(frozen=True)
class Frame:
    """The data range of a chart, and the conversion of data to pixels."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: Value) -> Value:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: Value) -> Value:
        height = self.y_high - self.y_low
        clipped = np.clip(value, self.y_low - 9 * height, self.y_high + 9 * height)
        return TOP + (self.y_high - clipped) / height * (HEIGHT - TOP - BOTTOM)


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
    x_low, x_high = float(joined[:, 0].min()), float(joined[:, 0].max())
    padding = float(x_low == x_high)
    frame = Frame(x_low - padding, x_high + padding, *y_range(joined[:, 2:]))
    curves = [curve(points, frame, colours[name]) for name, points in data.items()]
    legend = "".join(
        f'<span><i style="background:{colours[name]}"></i>{html.escape(name)} <b>{values.last:.3f}</b></span>'
        for name, values in series.items()
    )
    label, clip = html.escape(title), f"clip-{html.escape(next(iter(series)))}"
    return (
        f'<figure class="chart"><figcaption>{legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f'<clipPath id="{clip}"><rect x="{LEFT}" y="{TOP - 2}" width="{WIDTH - LEFT - RIGHT}" '
        f'height="{HEIGHT - TOP - BOTTOM + 4}"/></clipPath>'
        f'{axes(frame)}<g clip-path="url(#{clip})">{"".join(curves)}</g></svg></figure>'
    )


def y_range(ys: np.ndarray) -> tuple[float, float]:
    """Return the range between the 1st and the 99th percentile with a margin, extended to 0 if that is near."""
    low, high = (float(value) for value in np.percentile(ys, [1, 99]))
    if high - low < 1e-9 * max(abs(low), abs(high), 1.0):
        margin = abs(high) * 0.1 or 1.0
        return low - margin, high + margin
    margin = (high - low) * 0.08
    return 0.0 if 0 <= low < high / 2 else low - margin, 0.0 if low < high / 2 <= 0 else high + margin


def curve(points: np.ndarray, frame: Frame, colour: str) -> str:
    """Draw `points` (N, 4) of x, mean, minimum and maximum, N > 0."""
    if len(points) <= MAX_RAW_POINTS:
        return line(points[:, :2], frame, colour)
    starts = np.linspace(0, len(points), min(MAX_MEANS, len(points) // 4), endpoint=False).astype(int)
    counts = np.diff(starts, append=len(points))
    means = np.add.reduceat(points[:, :2], starts) / counts[:, None]
    low, high = np.minimum.reduceat(points[:, 2], starts), np.maximum.reduceat(points[:, 3], starts)
    xs = means[:, 0]
    outline = np.column_stack([np.concatenate([xs, xs[::-1]]), np.concatenate([low, high[::-1]])])
    band = f'<polygon class="band" style="fill:{colour}" points="{pixels(outline, frame)}"/>'
    return band + line(means, frame, colour)


def line(points: np.ndarray, frame: Frame, colour: str) -> str:
    """Draw `points` (N, 2) of x and y; a single point as a dot."""
    if len(points) == 1:
        x, y = points[0]
        return f'<circle style="fill:{colour}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.5"/>'
    return f'<polyline class="line" style="stroke:{colour}" points="{pixels(points, frame)}"/>'


def pixels(points: np.ndarray, frame: Frame) -> str:
    xs, ys = frame.x(points[:, 0]), frame.y(points[:, 1])
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def axes(frame: Frame) -> str:
    bottom, right, middle = HEIGHT - BOTTOM, WIDTH - RIGHT, (LEFT + WIDTH - RIGHT) / 2
    parts = []
    for value in nice_ticks(frame.y_low, frame.y_high, 4):
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in nice_ticks(frame.x_low, frame.x_high, 6):
        x = frame.x(value)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{short(value)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text class="unit" x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">images</text>')
    return "".join(parts)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round values within [low, high], in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def short(value: float) -> str:
    """1500 -> 1.5k, 2000000 -> 2M, 0.30000000000000004 -> 0.3."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{unit}"
    return f"{value:.6g}"
