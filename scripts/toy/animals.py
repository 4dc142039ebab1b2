"""Draws one horse-like animal out of tapering parts, with stripes across each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

# Spines are (N, 3): x forward, y up, radius, where 1 is the animal's height at the withers.
SAMPLES = 97  # points along a spine
BEFORE = np.maximum(np.arange(SAMPLES) - 1, 0)  # neighbours of each, for its direction
AFTER = np.minimum(np.arange(SAMPLES) + 1, SAMPLES - 1)

HIND_LEG = np.c_[
    [0, 0.02, 0.01, -0.07, -0.05, -0.03],
    [0, -0.12, -0.27, -0.4, -0.54, -0.66],
    [0.19, 0.145, 0.078, 0.047, 0.032, 0.031],
]
FORE_LEG = np.c_[
    [0, 0, 0.02, 0.01, 0.02],
    [0, -0.14, -0.32, -0.47, -0.6],
    [0.11, 0.08, 0.045, 0.03, 0.031],
]
TRUNK = np.c_[
    [-0.545, -0.52, -0.48, -0.42, -0.3, -0.1, 0.13, 0.28, 0.4, 0.46, 0.5, 0.525],
    [0.785, 0.78, 0.775, 0.77, 0.77, 0.755, 0.74, 0.74, 0.745, 0.75, 0.755, 0.76],
    [0.035, 0.1, 0.145, 0.182, 0.207, 0.205, 0.215, 0.205, 0.17, 0.14, 0.1, 0.035],
]
HEAD = [(0.0, 0.08), (0.1, 0.095), (0.24, 0.068), (0.36, 0.05), (0.42, 0.047)]  # from the poll, radius
MUZZLE = [(0.34, 0.053), (0.38, 0.051), (0.425, 0.048)]


class Ink(IntEnum):
    """What a fine pixel of a drawing shows."""

    OPEN = 0  # sky and ground, which are computed instead of drawn
    HILL = 1
    BUSH = 2
    LEAF = 3
    BLADE = 4
    COAT = 5
    STRIPE = 6  # always the number after that of its coat
    FAR_COAT = 7  # legs and ear on the far side, which are darker
    FAR_STRIPE = 8
    DARK = 9  # mane, tail, muzzle, hooves, eye


ANIMAL_INKS = (Ink.COAT, Ink.STRIPE, Ink.FAR_COAT, Ink.FAR_STRIPE, Ink.DARK)


@dataclass(frozen=True)
class Animal:
    """Position and pose of an animal, in picture units (x right, y down, 0 to 1)."""

    x: float  # middle of the trunk
    y: float  # of the hooves
    height: float  # at the withers
    facing: int  # 1 right, -1 left
    neck: float  # 0 grazing, 1 head up
    stride: float  # radians that the legs swing
    tail: float  # how far the tail swings out, in heights


class Part(NamedTuple):
    """A part of the body: a spine with a radius at each point, and the stripes across it."""

    spine: np.ndarray  # (N, 3)
    ink: Ink = Ink.COAT
    stripes: int = 0
    first: float = 0.0  # the stripes lie between these two positions on the spine, 0 to 1
    last: float = 1.0
    taper: float = 1.0  # width of a stripe's lower end by that of its upper end
    round_ends: tuple[int, ...] = (0, -1)


def paint_animal(draw: ImageDraw.ImageDraw, animal: Animal, pixels: int) -> None:
    """Paint on a drawing of (pixels, pixels) whose values are inks."""
    parts = list(_parts(animal))
    curves = np.stack([smooth(part.spine, SAMPLES) for part in parts])
    scale = animal.height * pixels
    curves *= np.array([animal.facing * scale, -scale, scale])
    centre, radius = curves[..., :2] + np.array([animal.x, animal.y]) * pixels, curves[..., 2:]
    step = animal.facing * (centre[:, AFTER] - centre[:, BEFORE])
    across = np.stack([step[..., 1], -step[..., 0]], axis=-1)
    across *= radius / np.hypot(across[..., :1], across[..., 1:])
    outlines = zip(centre + across, centre, centre - across, strict=True)
    for part, lines, ends in zip(parts, outlines, radius, strict=True):
        _paint_part(draw, part, lines, ends)


def smooth(knots: np.ndarray, samples: int) -> np.ndarray:
    """A Catmull-Rom curve (samples, D) through the knots (K, D), evenly spaced by its length in x and y."""
    each = np.eye(len(knots))
    ends = np.concatenate([2 * each[:1] - each[1:2], each, 2 * each[-1:] - each[-2:-1]])
    t = np.linspace(0, len(knots) - 1, samples)
    i = np.minimum(t.astype(int), len(knots) - 2)
    f = (t - i)[:, None]
    p0, p1, p2, p3 = (ends[i + k] for k in range(4))
    weights = p1 + 0.5 * f * (p2 - p0 + f * (2 * p0 - 5 * p1 + 4 * p2 - p3 + f * (3 * (p1 - p2) + p3 - p0)))
    curve = weights @ knots
    length = np.zeros(samples)
    np.cumsum(np.hypot(*np.diff(curve[:, :2], axis=0).T), out=length[1:])
    even = np.linspace(0, length[-1], samples)
    return np.stack([np.interp(even, length, column) for column in curve.T], axis=1)


def polygon(draw: ImageDraw.ImageDraw, points: np.ndarray, ink: Ink) -> None:
    """Fill the polygon of `points` (N, 2), in pixels."""
    draw.polygon(points.ravel().tolist(), fill=int(ink))


def _parts(animal: Animal) -> Iterator[Part]:
    """All parts, from the far side to the near side."""
    swing, out = animal.stride, animal.tail
    yield from _leg((-0.31, 0.7), HIND_LEG, -0.8 * swing - 0.1, Ink.FAR_COAT)
    yield from _leg((0.36, 0.64), FORE_LEG, 0.8 * swing + 0.1, Ink.FAR_COAT)
    tail = [(-0.5, 0.89), (-0.6 - out, 0.82), (-0.64 - 1.5 * out, 0.6), (-0.62 - 1.2 * out, 0.34)]
    yield Part(np.column_stack([tail, (0.03, 0.03, 0.05, 0.01)]), Ink.DARK)
    yield Part(TRUNK, stripes=5, first=-0.01, last=0.99, taper=0.4)
    yield from _leg((-0.345, 0.73), HIND_LEG, swing, Ink.COAT)
    yield from _leg((0.33, 0.64), FORE_LEG, -swing, Ink.COAT)
    yield from _neck_and_head(animal.neck)


def _leg(hip: tuple[float, float], joints: np.ndarray, swing: float, ink: Ink) -> Iterator[Part]:
    """A leg below `hip`, turned by `swing` radians; its hoof stays on the ground."""
    cos, sin = np.cos(swing), np.sin(swing)
    x, y, r = joints.T
    across, down = hip[0] + x * cos - y * sin, x * sin + y * cos
    spine = np.column_stack([across, hip[1] + down * (-hip[1] / down[-1]), r])
    yield Part(spine, ink, stripes=4, last=0.93, taper=0.8, round_ends=())
    x, _, r = spine[-1]
    hoof = [(x - 0.012, 0.06, r), (x, 0.035, r * 1.15), (x + 0.012, 0.0, r * 1.4)]
    yield Part(np.array(hoof), Ink.DARK, round_ends=())


def _neck_and_head(raised: float) -> Iterator[Part]:
    towards, over = _axes(np.deg2rad(-36 + 106 * raised))
    along, up = _axes(np.deg2rad(-78 + 32 * raised))
    # a low neck starts farther back, inside the trunk, so that its corner stays hidden behind the withers
    base = np.array([0.35, 0.8]) - (1 - raised) * np.array([0.12, 0.05])
    middle, poll = base + 0.27 * towards - 0.03 * over, base + 0.55 * towards
    ear, eye = poll - 0.01 * along + 0.06 * up, poll + 0.14 * along + 0.035 * up
    far_ear = [ear + 0.04 * along, ear + 0.03 * along + 0.08 * up, ear + 0.03 * along + 0.14 * up]
    yield Part(np.column_stack([far_ear, (0.025, 0.025, 0.004)]), Ink.FAR_COAT)
    neck = np.column_stack([[base, middle, poll], (0.19, 0.135, 0.085)])
    yield Part(neck, stripes=3, first=0.06, taper=0.7, round_ends=(-1,))
    top = poll + 0.05 * towards + 0.08 * over
    mane = [np.array([0.2, 0.94]), middle + 0.155 * over, poll + 0.1 * over, top]
    yield Part(np.column_stack([mane, (0.015, 0.045, 0.045, 0.02)]), Ink.DARK)
    head = np.column_stack([[poll + t * along for t, _ in HEAD], [r for _, r in HEAD]])
    yield Part(head, stripes=2, first=0.36, last=0.76, taper=0.5)
    muzzle = np.column_stack([[poll + t * along for t, _ in MUZZLE], [r for _, r in MUZZLE]])
    yield Part(muzzle, Ink.DARK, round_ends=(-1,))
    yield Part(np.column_stack([[ear, ear + 0.07 * up, ear + 0.14 * up], (0.028, 0.027, 0.004)]))
    yield Part(np.column_stack([[eye, eye + 0.01 * along], (0.016, 0.016)]), Ink.DARK)


def _axes(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The unit vector at `angle` radians and the one to its left."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([cos, sin]), np.array([-sin, cos])


def _paint_part(draw: ImageDraw.ImageDraw, part: Part, lines: tuple, radius: np.ndarray) -> None:
    """Paint a part; `lines` are its upper, centre and lower line, each (SAMPLES, 2) in pixels."""
    upper, centre, lower = lines
    polygon(draw, np.concatenate([upper, lower[::-1]]), part.ink)
    for end in part.round_ends:
        (x, y), (r,) = centre[end].tolist(), radius[end].tolist()
        draw.ellipse((x - r, y - r, x + r, y + r), fill=int(part.ink))
    pitch = (part.last - part.first) / max(part.stripes, 1)
    half = 0.28 * pitch  # the width of a stripe to either side of its middle
    for k in range(part.stripes):
        at = part.first + (k + 0.5) * pitch
        top, foot = _stretch(at, half), _stretch(at, half * part.taper)
        waist = centre[_stretch(at, half * (1 + part.taper) / 2)]
        outline = [upper[top], waist[-1:], lower[foot][::-1], waist[:1]]
        polygon(draw, np.concatenate(outline), Ink(part.ink + 1))


def _stretch(at: float, half: float) -> slice:
    """The samples of a spine within `half` of the position `at`, both 0 to 1."""
    return slice(max(round((at - half) * (SAMPLES - 1)), 0), round((at + half) * (SAMPLES - 1)) + 1)
