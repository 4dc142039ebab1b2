"""Opens image files from any source: only listed formats, only regular files, only what fits into the memory."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from util.errors import UserError
from util.files import open_regular
from util.free_memory import check_fits

# the formats of the endings in data/image_folder.py; each further decoder, above all that of PostScript, is a risk
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
EpsImagePlugin.gs_binary = False  # other code that opens images must not start Ghostscript either
# what Pillow's decoders raise on damaged files
READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, struct.error, zlib.error)
# Pillow warns of odd tags, and of images of half its limit; here the free memory is the limit
warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def open_image_file(path: str | Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """A context with the image in the file `path`, of which only the header has been read.

    With `content`, the image in these bytes; errors then call it `path`.

    Raises:
        UserError: no regular file, no image, too large for the memory or for Pillow's decompression-bomb limit, or
            damaged, which may be found within the context.
    """
    try:
        with (
            open_regular(path) if content is None else io.BytesIO(content) as file,
            Image.open(file, formats=FORMATS) as image,
        ):
            what = f"{path}, {image.width}x{image.height} pixels,"
            check_fits(image.width * image.height, what, "make it smaller or remove it")
            yield image
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(
            f"{path} exceeds Pillow's decompression-bomb limit of {limit:,} pixels; make it smaller or remove it"
        ) from error
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        reason = "unknown image format" if isinstance(error, UnidentifiedImageError) else reason
        raise UserError(f"{path} cannot be read as an image ({reason}); repair or remove it") from error
