"""Conversion to CIE L*a*b* gives the standard's values, and converting back returns the colours."""

import numpy as np
import pytest
import torch

from util.imaging.lab_color import lab_to_rgb, rgb_to_lab


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((255, 255, 255), (100, 0, 0)),
        ((119, 119, 119), (50.03, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_known_colours(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    found = rgb_to_lab(np.array([[rgb]], np.uint8))
    assert found.dtype == np.float32 and found.shape == (1, 1, 3)
    assert np.abs(found[0, 0] - lab).max() < 0.006


def test_converting_back_returns_the_colours() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    lab = torch.from_numpy(rgb_to_lab(rgb)).permute(2, 0, 1)[None]
    back = lab_to_rgb(lab[:, :1] / 50 - 1, lab[:, 1:] / 110)
    expected = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 127.5 - 1
    assert back.shape == (1, 3, 16, 16) and back.dtype == torch.float32
    assert (back - expected).abs().max() < 2e-4


def test_colours_outside_srgb_are_clipped() -> None:
    back = lab_to_rgb(torch.full((2, 1, 1, 1), 0.9), torch.full((2, 2, 1, 1), 1.0))
    assert back.isfinite().all() and back.min() >= -1 and back.max() <= 1
