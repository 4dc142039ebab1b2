"""Animated GIFs, written with Pillow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from util.files import write_atomically

PALETTE_FRAMES = 16  # frames that the palette is computed from


def save_gif(frames: Sequence[np.ndarray], path: str | Path, *, fps: int) -> None:
    """Write frames (H, W, C) uint8, C = 1, 3 or 4, as a GIF that repeats endlessly.

    All frames share one palette, so that unchanged regions do not flicker. GIFs measure time in hundredths of a
    second, so 30 frames per second become 33. Raises RunFault if the file cannot be written.
    """
    if frames[0].shape[2] == 1:
        pictures = [Image.fromarray(frame[..., 0]) for frame in frames]
    else:
        step = -(-len(frames) // PALETTE_FRAMES)
        palette = Image.fromarray(np.concatenate(frames[::step])[..., :3]).quantize()
        rgb = [Image.fromarray(frame[..., :3]) for frame in frames]
        pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in rgb]
    duration_ms = 10 * round(100 / fps)  # of a frame
    settings = {"save_all": True, "append_images": pictures[1:], "duration": duration_ms, "loop": 0}
    write_atomically(Path(path), lambda file: pictures[0].save(file, "GIF", **settings))
