"""Draws scenes of animals in a landscape, in two styles: with brown or with striped coats.

A scene consists of a few numbers, so that it can be drawn at any size and in both styles. The styles differ only
in the coats. Stripes lie at places that follow from the shape of the body, and the brown coat is a little darker
there, so that each picture determines the other.
"""

import functools
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scripts.toy.animals import ANIMAL_INKS, Animal, Ink, paint_animal, polygon, smooth

Style = Literal["brown", "striped"]
Range = tuple[float, float]
Colour = tuple[float, float, float]  # 8-bit grey levels of red, green, blue

# of coat, stripe, far coat, far stripe, and dark parts
_BROWN = [(150, 86, 42), (104, 62, 40), (112, 65, 33), (78, 46, 30), (52, 33, 26)]
_STRIPED = [(244, 240, 230), (27, 25, 27), (186, 182, 175), (22, 20, 23), (32, 28, 29)]
COATS: dict[Style, dict[Ink, Colour]] = {
    "brown": dict(zip(ANIMAL_INKS, _BROWN, strict=True)),
    "striped": dict(zip(ANIMAL_INKS, _STRIPED, strict=True)),
}
# Colours of a green meadow and of a dry savannah; a scene lies between them.
LAND: dict[Ink, tuple[Colour, Colour]] = {
    Ink.OPEN: ((146, 160, 84), (184, 168, 98)),
    Ink.HILL: ((126, 154, 150), (150, 162, 148)),
    Ink.BUSH: ((84, 112, 62), (104, 112, 66)),
    Ink.LEAF: ((104, 132, 72), (126, 130, 78)),
    Ink.BLADE: ((118, 134, 66), (152, 138, 76)),
}


@dataclass(frozen=True)
class Scene:
    """A landscape with animals, in picture units (x right, y down, 0 to 1)."""

    horizon: float
    dryness: float  # 0 green meadow, 1 straw-coloured savannah
    haze: float  # 0 deep blue sky, 1 pale
    texture: int  # seed of hills, bushes, clouds and grass
    animals: tuple[Animal, ...]  # from the farthest to the nearest


def draw_scene(seed: int, split: str, index: int) -> Scene:
    """Scene number `index` of `split`; it does not depend on how many scenes are drawn."""
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
    facing = int(rng.choice([-1, 1]))
    if rng.random() < 0.85:
        animals = [_draw_animal(rng, facing, middle=0.5, y=(0.92, 0.96), height=(0.6, 0.65))]
    else:
        side = int(rng.choice([-1, 1]))
        turned = facing if rng.random() < 0.6 else -facing
        animals = [
            _draw_animal(rng, facing, middle=0.5 - 0.18 * side, y=(0.76, 0.8), height=(0.39, 0.43)),
            _draw_animal(rng, turned, middle=0.5 + 0.08 * side, y=(0.92, 0.96), height=(0.47, 0.51)),
        ]
    return Scene(
        horizon=rng.uniform(0.28, 0.4),
        dryness=rng.random(),
        haze=rng.random(),
        texture=int(rng.integers(2**31)),
        animals=tuple(animals),
    )


def _draw_animal(rng: np.random.Generator, facing: int, *, middle: float, y: Range, height: Range) -> Animal:
    """An animal whose outline is centred near `middle`, with `y` and `height` in the given ranges."""
    tall = rng.uniform(*height)
    return Animal(
        # the head is farther from the middle of the trunk than the tail
        x=middle - facing * 0.1 * tall + rng.uniform(-0.02, 0.02),
        y=rng.uniform(*y),
        height=tall,
        facing=facing,
        neck=rng.uniform(0.8, 1.0) if rng.random() < 0.75 else rng.uniform(0.0, 0.1),
        stride=rng.uniform(-0.4, 0.4),
        tail=rng.uniform(-0.03, 0.08),
    )


def render(scene: Scene, style: Style, size: int) -> np.ndarray:
    """The picture, (size, size, 3) uint8."""
    shares, open_land, light = _layers(scene, size)
    picture = open_land * shares[Ink.OPEN][..., None]
    for ink in (Ink.HILL, Ink.BUSH, Ink.LEAF, Ink.BLADE):
        picture += shares[ink][..., None] * _mix(*LAND[ink], scene.dryness)
    for ink, colour in COATS[style].items():
        picture += (shares[ink] * light)[..., None] * np.asarray(colour, np.float32)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def render_mask(scene: Scene, size: int) -> np.ndarray:
    """(size, size) uint8: 255 on the animals, 0 elsewhere, and the covered share on their edges."""
    shares, _, _ = _layers(scene, size)
    return np.round(255 * shares[list(ANIMAL_INKS)].sum(axis=0)).astype(np.uint8)


@functools.lru_cache(maxsize=1)  # both styles and the mask of a scene are drawn one after the other
def _layers(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What both styles share: the share of each pixel that each ink covers, (inks, size, size), which sum to 1;
    the open land, (size, size, 3); the light on bodies, (size, size).
    """
    fine = 4 if size <= 256 else 2
    drawing = Image.new("L", (size * fine, size * fine), int(Ink.OPEN))
    draw = ImageDraw.Draw(drawing)
    _paint_backdrop(draw, scene, size * fine)
    for animal in scene.animals:
        paint_animal(draw, animal, size * fine)
    _paint_blades(draw, scene, size * fine)
    pixels = np.asarray(drawing).reshape(size, fine, size, fine)
    samples = np.ascontiguousarray(pixels.transpose(1, 3, 0, 2)).reshape(fine * fine, size, size)
    counts = [(samples == ink).sum(axis=0, dtype=np.uint8) for ink in Ink]
    shares = np.stack(counts) / np.float32(fine * fine)
    return shares, _open_land(scene, size), _light(shares, size)


def _paint_backdrop(draw: ImageDraw.ImageDraw, scene: Scene, pixels: int) -> None:
    """Hills, and bushes along the horizon."""
    rng = np.random.default_rng([scene.texture, 0])
    x = np.linspace(-0.02, 1.02, 7)
    ridge = smooth(np.stack([x, scene.horizon - rng.uniform(0.0, 0.1, 7)], axis=1), 80)
    foot = scene.horizon + 0.01
    polygon(draw, np.concatenate([ridge, [[1.02, foot], [-0.02, foot]]]) * pixels, Ink.HILL)
    for _ in range(int(rng.integers(1, 5))):
        place, y = rng.uniform(0, 1), scene.horizon + rng.uniform(0.0, 0.04)
        for _ in range(6):
            r = rng.uniform(0.012, 0.03)
            cx, cy = place + rng.uniform(-0.04, 0.04), y - r * rng.uniform(0.3, 0.9)
            bush, leaves = (cx, cy, r, 0.8 * r), (cx - 0.15 * r, cy - 0.25 * r, 0.7 * r, 0.5 * r)
            for (mx, my, rx, ry), ink in ((bush, Ink.BUSH), (leaves, Ink.LEAF)):
                draw.ellipse([pixels * v for v in (mx - rx, my - ry, mx + rx, my + ry)], fill=int(ink))


def _paint_blades(draw: ImageDraw.ImageDraw, scene: Scene, pixels: int) -> None:
    """Tufts of grass, some of them in front of the hooves."""
    rng = np.random.default_rng([scene.texture, 1])
    x = rng.uniform(0, 1, (16, 1))
    y = rng.uniform(scene.horizon + 0.35, 1.02, (16, 1))
    tall, lean = 0.05 * (y - scene.horizon + 0.15), rng.uniform(-0.7, 0.7, (16, 4))
    root, tip = x + 0.3 * lean * tall, y - tall * (1.2 - abs(lean))
    foot = y + 0 * lean
    blades = np.stack([root - 0.003, foot, root + 0.003, foot, root + lean * tall, tip], axis=-1)
    for blade in blades.reshape(-1, 6) * pixels:
        polygon(draw, blade, Ink.BLADE)


def _open_land(scene: Scene, size: int) -> np.ndarray:
    """(size, size, 3): a sky with soft clouds, and ground with patches of grass and the animals' shadows."""
    rng = np.random.default_rng([scene.texture, 2])
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size
    zenith = _mix((120, 172, 216), (144, 186, 218), scene.haze)
    sky = _mix(zenith, (206, 222, 226), np.clip(y / scene.horizon, 0, 1) ** 1.5)
    clouds = np.clip(_noise(rng, 18, 5, size) - 0.15, 0, 1)[..., None]
    sky += (240 - sky) * 0.4 * clouds
    patches = 0.12 * _noise(rng, 5, 3, size) + 0.05 * _noise(rng, 11, 6, size)
    ground = _mix(*LAND[Ink.OPEN], np.clip(scene.dryness + patches, 0, 1))
    depth = np.clip((y - scene.horizon) / (1 - scene.horizon), 0, 1)
    grass = 0.02 * _noise(rng, 40, 12, size) + 0.03 * _noise(rng, 160, 90, size)
    bright = 1.12 - 0.22 * depth + np.sqrt(depth) * grass
    for animal in scene.animals:
        away = ((x - animal.x) / 0.62) ** 2 + ((y - animal.y) / 0.1) ** 2
        bright *= 1 - 0.4 * np.exp(-1.5 * away / animal.height**2)
    below = np.clip((y - scene.horizon) * size + 0.5, 0, 1)[..., None]
    return sky * (1 - below) + ground * bright[..., None] * below


def _noise(rng: np.random.Generator, rows: int, columns: int, size: int) -> np.ndarray:
    """(size, size) smooth noise, about -1 to 1, from a grid that does not depend on the size."""
    grid = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))


def _mix(a: Colour | np.ndarray, b: Colour | np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """Colours (..., 3) between `a`, where the share (...) is 0, and `b`, where it is 1."""
    weight = np.asarray(share, np.float32)[..., None]
    return np.asarray(a, np.float32) * (1 - weight) + np.asarray(b, np.float32) * weight


def _light(shares: np.ndarray, size: int) -> np.ndarray:
    """(size, size), about 1: brighter on the upper side of a body and darker on the lower, in any style."""
    body = Image.fromarray((255 * shares[list(ANIMAL_INKS)].sum(axis=0)).astype(np.uint8))
    soft = np.asarray(body.filter(ImageFilter.GaussianBlur(0.035 * size)), np.float32) / 255
    return np.clip(0.98 + 0.014 * size * np.gradient(soft, axis=0), 0.6, 1.2)
