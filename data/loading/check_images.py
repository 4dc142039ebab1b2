"""--check_data: open every image before training starts, so that a broken one cannot end it at night."""

from collections.abc import Sequence

from data.images import read_image
from util.errors import UserError

SHOWN = 5  # broken files told one by one


def check_images(paths: Sequence[str]) -> None:
    """Decode each file fully.

    Raises:
        UserError: some cannot be read; it names how many, and the first ones with their position.
    """
    broken = []
    for position, path in enumerate(paths, start=1):
        try:
            read_image(path)
        except UserError as error:
            broken.append(f"file {position} of {len(paths)}: {error}")
    if broken:
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise UserError(f"--check_data found {len(broken)} broken: {'; '.join(broken[:SHOWN])}{more}")
