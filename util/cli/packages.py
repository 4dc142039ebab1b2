"""Optional packages, which are needed only for some flags."""

import importlib.util

from util.errors import UserError, not_installed


def require(package: str, user: str, other: str = "") -> None:
    """Check that a package is installed, without importing it.

    `user` is the flag or feature that needs it, `other` a flag to use instead.

    Raises:
        UserError: the package is not installed.
    """
    if importlib.util.find_spec(package) is None:
        if importlib.util.find_spec("torch") is None:
            raise not_installed(package)
        instead = f", or use {other}" if other else ""
        raise UserError(f"{user} needs the package {package}: pip install {package}{instead}")
