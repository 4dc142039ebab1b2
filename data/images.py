"""Open image files and convert them to 8-bit grey, RGB or RGBA.

The conversion, in this order:

1. Grey images with more than 8 bits. 16-bit values (modes I;16*, and I if all values are in 0..65535) are divided
   by 257 and rounded, so that 65535 becomes 255. Other integers and floats (modes I and F) are scaled linearly
   from the minimum and maximum of the image to 0..255; a constant image becomes 0. Transparency is ignored.
   Pillow reads 16-bit colour files with 8 bits: it keeps the high byte of each value.
2. Palette, CMYK and all other modes: Pillow's `convert`.
3. If the target has no alpha channel, transparent pixels are blended with white, and grey is computed from RGB
   with Pillow's luma weights. A target with alpha keeps it, or gets an opaque one.

Only the first frame of a file is read. The EXIF orientation is applied first: a photograph that was taken upright is
upright, as viewers show it.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from util.errors import UserError
from util.imaging.image_files import READ_ERRORS, open_image_file

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # channels -> Pillow mode
MAX_LISTED = 5  # broken files that an error of --check_data lists
ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
# EXIF orientation -> how to turn the stored pixels; Pillow itself turns TIFF files and removes their tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def check_channels(channels: int, flag: str) -> int:
    """Return `channels`, the value of `flag`, or raise UserError if image files cannot be read with that many."""
    if channels not in MODES:
        raise UserError(
            f"{flag} {channels}: image files can only be read with 1 (grey), 3 (RGB) or 4 (RGBA) channels"
        )
    return channels


def open_image(path: str | Path, channels: int) -> Image.Image:
    """The image in `path` as "L", "RGB" or "RGBA" for 1, 3 or 4 channels.

    Raises:
        UserError: the file cannot be read, is damaged or too large, or `channels` is another number.
    """
    check_channels(channels, "--input_nc or --output_nc")
    image = read_image(path)
    try:
        return convert(image, channels)
    except READ_ERRORS as error:
        raise UserError(
            f"{path} cannot be converted to {MODES[channels]} ({error}); save it as PNG"
        ) from error


def read_image(path: str | Path, content: bytes | None = None) -> Image.Image:
    """The fully decoded image in `path`, in its stored mode, turned by its EXIF orientation.

    With `content`, the image in these bytes; errors then call it `path`.

    Raises:
        UserError: see open_image_file.
    """
    with open_image_file(path, content) as image:
        image.load()
        orientation = None
        with suppress(*READ_ERRORS):  # a damaged EXIF block does not matter
            orientation = image.getexif().get(ExifTags.Base.Orientation)
        return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def convert(image: Image.Image, channels: int) -> Image.Image:
    """`image` of any mode as 8-bit "L", "RGB" or "RGBA", as described at the top of this file.

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


def check_images(paths: Sequence[str]) -> None:
    """Decode all files; raises UserError with the number of broken files and the first of them."""
    broken = []
    for position, path in enumerate(paths, start=1):
        try:
            read_image(path)
        except UserError as error:
            broken.append(f"file {position} of {len(paths)}: {error}")
    if broken:
        more = f"; and {len(broken) - MAX_LISTED} more" if len(broken) > MAX_LISTED else ""
        raise UserError(
            f"--check_data found broken images ({len(broken)}): {'; '.join(broken[:MAX_LISTED])}{more}"
        )


def _eight_bits(image: Image.Image) -> Image.Image:
    with np.errstate(invalid="ignore"):  # signalling NaN
        values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it contains NaN or infinite pixels")
    low, high = values.min(), values.max()
    if image.mode != "F" and low >= 0 and high <= 65535:
        low, high = 0, 65535
    scale = 255 / (high - low) if high > low else 0.0
    return Image.fromarray(np.rint((values - low) * scale).astype(np.uint8))
