"""Opening image files and converting them, by one rule, to 8-bit grey, RGB or RGBA.

The rule, in this order:

1. Grey with more than 8 bits. 16-bit values (modes I;16*, and I when all values lie in 0..65535) are divided
   by 257 and rounded, so that 65535 becomes 255. Other integers and floats (modes I and F) are stretched
   linearly from the image's own minimum and maximum to 0..255; a constant image becomes 0. Their
   transparency, if any, is ignored. 16-bit *colour* files reach us from Pillow with 8 bits already: the
   high byte of each value.
2. Palette, CMYK and all other modes go through Pillow's `convert`.
3. Where the target has no alpha, transparent pixels are laid on white; grey is made from RGB by Pillow's
   luma weights. A target with alpha keeps it, or gets an opaque one.

Only the first frame of a file is read, and an EXIF orientation is not applied: pixels are taken as stored,
so that pairs and masks stay in register.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from util.errors import UserError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # channels -> Pillow mode
ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
# what Pillow's decoders are known to raise on damaged files
READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, struct.error, zlib.error)


def check_channels(channels: int, *, flag: str) -> int:
    """`channels`, if image files can be read with so many; `flag` is what the person typed to ask for it.

    Raises:
        UserError: any other number than 1, 3 and 4.
    """
    if channels not in MODES:
        raise UserError(
            f"{flag} {channels}: image files are read with 1 (grey), 3 (RGB) or 4 (RGBA) channels"
        )
    return channels


def open_image(path: str | Path, channels: int) -> Image.Image:
    """The image in `path` as "L", "RGB" or "RGBA" for 1, 3 or 4 channels; the rule is at the top of the file.

    Raises:
        UserError: the file cannot be read, is damaged or too large, or `channels` is another number.
    """
    check_channels(channels, flag="--input_nc or --output_nc")
    image = read_image(path)
    try:
        return convert(image, channels)
    except READ_ERRORS as error:
        raise UserError(
            f"{path} cannot be converted to {MODES[channels]} ({error}); save it as PNG"
        ) from error


def read_image(path: str | Path, stored: bytes | None = None) -> Image.Image:
    """The image in `path`, wholly decoded, in the mode it was stored in.

    With `stored`, the image in these bytes; `path` is then what an error calls it.

    Raises:
        UserError: the file cannot be read, is damaged, or is too large to be an honest image.
    """
    try:
        with Image.open(path if stored is None else io.BytesIO(stored)) as image:
            image.load()
            return image
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(
            f"{path} has more than the {most:,} pixels that Pillow takes for honest; make it smaller or remove it"
        ) from error
    except READ_ERRORS as error:
        what = "no known image format" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(f"{path} cannot be read as an image ({what}); repair or remove it") from error


def convert(image: Image.Image, channels: int) -> Image.Image:
    """`image` of any mode as 8-bit "L", "RGB" or "RGBA", by the rule at the top of the file.

    Raises:
        ValueError: a float image with NaN or infinite pixels, or a mode Pillow cannot convert.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if channels == 1 and image.mode == "L" and "transparency" not in image.info:
        return image
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return image.convert("RGB").convert(MODES[channels])
    image = image.convert("RGBA")
    if channels < 4:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert(MODES[channels])


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite pixels")
    low, high = values.min(), values.max()
    if image.mode != "F" and low >= 0 and high <= 65535:
        low, high = 0, 65535
    scale = 255 / (high - low) if high > low else 0.0
    return Image.fromarray(np.rint((values - low) * scale).astype(np.uint8))
