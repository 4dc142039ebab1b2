"""Animated pictures that any browser plays, by Pillow."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from util.files import write_whole

PALETTE_FRAMES = 16  # that the colours are chosen from; more take long and change little


def save_gif(frames: Sequence[np.ndarray], path: str | Path, *, fps: int) -> None:
    """Write frames (H, W, 1 | 3 | 4) uint8 as a GIF that plays for ever.

    All frames share 256 colours, so that what does not move does not flicker. GIFs count time in
    hundredths of a second: 30 frames a second become 33. RunFault names the path that cannot be written.
    """
    if frames[0].shape[2] == 1:
        pictures = [Image.fromarray(frame[..., 0]) for frame in frames]
    else:
        step = -(-len(frames) // PALETTE_FRAMES)
        palette = Image.fromarray(np.concatenate(frames[::step])[..., :3]).quantize()
        in_colour = [Image.fromarray(frame[..., :3]) for frame in frames]
        pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in in_colour]
    first, *others = pictures
    buffer = io.BytesIO()
    duration_ms = 10 * round(100 / fps)
    first.save(buffer, format="GIF", save_all=True, append_images=others, duration=duration_ms, loop=0)
    write_whole(Path(path), buffer.getvalue())
