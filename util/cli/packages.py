"""Packages that are needed only where something asks for them."""

import importlib.util

from util.errors import UserError


def require(package: str, user: str, other: str = "") -> None:
    """See that a package is installed, without the cost of importing it.

    `user` is what asks for it, `other` what to give instead.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec(package) is None:
        instead = f", or give {other}" if other else ""
        raise UserError(f"{user} needs the package {package}: pip install {package}{instead}")
