"""Loss curves as inline SVG: one small chart for each family of names, drawn in bounded size."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from util.display.loss_history import Series

WIDTH, HEIGHT = 560, 210
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 8, 34
RAW_POINTS = 80  # a longer series is drawn as means, within a band from the least to the most
BUCKETS = 100  # at most so many means
Value = TypeVar("Value", float, np.ndarray)
COLOURS = 8  # the colour-blind-safe colours --c0 ... --c7 of the page's style


@dataclass(frozen=True)
class Frame:
    """The data range of a chart and its way to pixels."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: Value) -> Value:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: Value) -> Value:
        inside = np.clip(value, self.y_low - 9 * self.height, self.y_high + 9 * self.height)
        return TOP + (self.y_high - inside) / self.height * (HEIGHT - TOP - BOTTOM)

    @property
    def height(self) -> float:
        return self.y_high - self.y_low


def loss_curves(series: Mapping[str, Series]) -> str:
    """HTML of one chart per family: D_A and D_B together, cycle_A and cycle_B together. Empty without data."""
    families: dict[str, dict[str, Series]] = {}
    for name, points in series.items():
        families.setdefault(name.split("_")[0], {})[name] = points
    charts = []
    for family, members in families.items():
        names = list(members)
        for start in range(0, len(names), COLOURS):
            part = {name: members[name] for name in names[start : start + COLOURS]}
            charts.append(chart(family, part))
    return "\n".join(filter(None, charts))


def chart(title: str, series: Mapping[str, Series]) -> str:
    """One <figure> with legend and <svg>; empty text where no finite point is known."""
    data = {name: columns(points) for name, points in series.items()}
    drawn = {name: points for name, points in data.items() if len(points)}
    if not drawn:
        return ""
    together = np.concatenate(list(drawn.values()))
    frame = Frame(*x_range(together[:, 0]), *y_range(together[:, 2:]))
    colours = {name: f"var(--c{index})" for index, name in enumerate(data)}
    lines = [curve(points, frame, colours[name]) for name, points in drawn.items()]
    legend = "".join(
        f'<span><i style="background:{colours[name]}"></i>{html.escape(name)} '
        f"<b>{series[name].last:.3f}</b></span>"
        for name in data
    )
    clip = f"clip-{html.escape(title, quote=True)}-{html.escape(next(iter(data)), quote=True)}"
    return (
        f'<figure class="chart"><figcaption>{legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title, quote=True)}">'
        f'<clipPath id="{clip}"><rect x="{LEFT}" y="{TOP - 2}" width="{WIDTH - LEFT - RIGHT}" '
        f'height="{HEIGHT - TOP - BOTTOM + 4}"/></clipPath>'
        f'{axes(frame)}<g clip-path="url(#{clip})">{"".join(lines)}</g></svg></figure>'
    )


def columns(series: Series) -> np.ndarray:
    """(n, 4) of x, mean, least and most."""
    return np.array([series.xs, series.ys, series.lows, series.highs], dtype=float).T


def x_range(xs: np.ndarray) -> tuple[float, float]:
    low, high = float(xs.min()), float(xs.max())
    return (low, high) if high > low else (low - 1, high + 1)


def y_range(ys: np.ndarray) -> tuple[float, float]:
    """The range of all but the outermost hundredth at either end, with some air; 0 joins if it is near."""
    low, high = (float(value) for value in np.percentile(ys, [1, 99]))
    if high - low < 1e-9 * max(abs(low), abs(high), 1.0):
        pad = abs(high) * 0.1 or 1.0
        return low - pad, high + pad
    air = (high - low) * 0.08
    return (0.0 if 0 <= low < high / 2 else low - air), (0.0 if high / 2 > low and high <= 0 else high + air)


def curve(points: np.ndarray, frame: Frame, colour: str) -> str:
    """`points` (n, 4) as columns() gives them, n > 0."""
    if len(points) <= RAW_POINTS:
        return line(points[:, :2], frame, colour)
    starts = np.linspace(0, len(points), min(BUCKETS, len(points) // 4), endpoint=False).astype(int)
    counts = np.diff(starts, append=len(points))
    means = np.add.reduceat(points[:, :2], starts) / counts[:, None]
    low, high = np.minimum.reduceat(points[:, 2], starts), np.maximum.reduceat(points[:, 3], starts)
    xs = means[:, 0]
    band = places(np.concatenate([xs, xs[::-1]]), np.concatenate([low, high[::-1]]), frame)
    return f'<polygon class="band" style="fill:{colour}" points="{band}"/>' + line(means, frame, colour)


def line(points: np.ndarray, frame: Frame, colour: str) -> str:
    if len(points) == 1:
        x, y = points[0]
        return f'<circle style="fill:{colour}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.5"/>'
    path = places(points[:, 0], points[:, 1], frame)
    return f'<polyline class="line" style="stroke:{colour}" points="{path}"/>'


def places(xs: np.ndarray, ys: np.ndarray, frame: Frame) -> str:
    return " ".join(
        f"{x:.1f},{y:.1f}" for x, y in zip(frame.x(xs).tolist(), frame.y(ys).tolist(), strict=True)
    )


def axes(frame: Frame) -> str:
    floor = HEIGHT - BOTTOM
    parts = []
    for value in nice_ticks(frame.y_low, frame.y_high, 4):
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in nice_ticks(frame.x_low, frame.x_high, 6):
        x = frame.x(value)
        parts.append(f'<text x="{x:.1f}" y="{floor + 17}" text-anchor="middle">{short(value)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="unit" x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">images</text>')
    return "".join(parts)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round values within [low, high]: steps of 1, 2 or 5 times a power of ten."""
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
