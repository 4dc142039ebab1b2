"""--check_data: decode every image before training starts, so that a broken file cannot stop a run later."""

from collections.abc import Sequence

from data.images import read_image
from util.errors import UserError

MAX_LISTED = 5  # broken files


def check_images(paths: Sequence[str]) -> None:
    """Decode all files; raises UserError with the number of broken ones and the first of them."""
    broken = []
    for position, path in enumerate(paths, start=1):
        try:
            read_image(path)
        except UserError as error:
            broken.append(f"file {position} of {len(paths)}: {error}")
    if broken:
        more = f"; and {len(broken) - MAX_LISTED} more" if len(broken) > MAX_LISTED else ""
        raise UserError(f"--check_data found {len(broken)} broken: {'; '.join(broken[:MAX_LISTED])}{more}")
