"""Conversion between sRGB and CIE L*a*b* (white point D65, 2 degree observer)."""

import numpy as np
import torch
from torch import Tensor

# linear sRGB -> XYZ, IEC 61966-2-1
RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = RGB_TO_XYZ.sum(axis=1)  # XYZ of RGB (1, 1, 1), so that a = b = 0 exactly for grey
DELTA = 6 / 29


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert rgb (H, W, 3) uint8 to float32 (H, W, 3): L in [0, 100], a and b in about [-108, 99]."""
    assert rgb.dtype == np.uint8 and rgb.shape[-1] == 3, (rgb.dtype, rgb.shape)
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    t = linear @ (RGB_TO_XYZ / WHITE[:, None]).T
    f = np.where(t > DELTA**3, np.cbrt(t), t / (3 * DELTA**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def lab_to_rgb(L: Tensor, ab: Tensor) -> Tensor:
    """Convert L (N, 1, H, W) = L* / 50 - 1 and ab (N, 2, H, W) = (a*, b*) / 110 to rgb (N, 3, H, W) in [-1, 1].

    Colours outside sRGB are clipped.
    """
    y = ((L.float() + 1) * 50 + 16) / 116
    x = y + ab[:, :1].float() * 110 / 500
    z = y - ab[:, 1:].float() * 110 / 200
    f = torch.cat([x, y, z], dim=1)
    t = torch.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29))
    to_rgb = torch.from_numpy(np.linalg.inv(RGB_TO_XYZ) * WHITE).to(t)
    linear = torch.einsum("ij,njhw->nihw", to_rgb, t).clamp(0, 1)
    rgb = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb * 2 - 1
