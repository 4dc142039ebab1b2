"""What the tests of the compiled C++ functions share."""

import pytest
from torch import Tensor

from models.nets.cpu import library as native

compiled = pytest.mark.skipif(native.library() is None, reason="no C++ compiler builds the functions here")


def distance(found: Tensor, right: Tensor) -> float:
    """The norm of the difference, relative to `right`."""
    return ((found.double() - right.double()).norm() / right.double().norm()).item()
