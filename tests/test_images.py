"""Conversion of image tensors to pixels, grids and files."""

import math

import numpy as np
import pytest
import torch
from conftest import refused
from PIL import Image

from util.errors import RunFault
from util.imaging.images import GAP, image_size, save_image, sheet, to_uint8


def flat(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(1, 1, 1, n) with these values."""
    return torch.tensor(values, dtype=dtype).reshape(1, 1, 1, -1)


def test_range_is_clamped_and_rounded():
    # 0.7 is 216.75 of 255: truncation would give 216
    assert to_uint8(flat(-3, -1, 0.7, 1, 3).requires_grad_()).flatten().tolist() == [0, 0, 217, 255, 255]
    # NaN is mid-grey
    assert to_uint8(flat(math.nan, math.inf, -math.inf)).flatten().tolist() == [128, 255, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_all_float_types(dtype):
    assert to_uint8(flat(-1, 0.5, 1, dtype=dtype)).flatten().tolist() == [0, 191, 255]


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (2, 1), (3, 3), (4, 4), (7, 3)])
def test_the_channels_that_are_shown(channels, shown):
    images = torch.linspace(-1, 1, channels).reshape(1, channels, 1, 1).expand(2, channels, 3, 5)
    pixels = to_uint8(images)
    assert pixels.shape == (2, 3, 5, shown)
    assert pixels.dtype == np.uint8
    assert pixels[0, 0, 0].tolist() == to_uint8(images[:, :shown])[0, 0, 0].tolist()


def test_the_order_of_axes():
    images = torch.full((1, 3, 2, 2), -1.0)
    images[0, 1, 0, 1] = 1  # green, upper right
    assert to_uint8(images)[0, 0, 1].tolist() == [0, 255, 0]


def test_a_sheet_arranges_images_row_by_row():
    images = np.stack([np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)])
    grid = sheet(images)
    assert grid.shape == (8 + GAP, 12 + GAP, 3)
    assert [grid[0, 0, 0], grid[0, -1, 0], grid[-1, 0, 0], grid[-1, -1, 0]] == [10, 20, 30, 255]
    assert (sheet(images[:1]) == images[0]).all()


@pytest.mark.parametrize(
    ("aspect_ratio", "size"), [(1.0, (20, 10)), (2.0, (40, 10)), (1.5, (30, 10)), (0.5, (20, 20))]
)
def test_an_aspect_ratio_above_one_widens(tmp_path, aspect_ratio, size):
    save_image(np.zeros((10, 20, 3), np.uint8), tmp_path / "wide.png", aspect_ratio)
    assert image_size(tmp_path / "wide.png") == size


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_saved_pixels_are_unchanged(tmp_path, channels, mode):
    image = np.arange(4 * 5 * channels, dtype=np.uint8).reshape(4, 5, channels)
    save_image(image, tmp_path / "sub" / "x.png")
    with Image.open(tmp_path / "sub" / "x.png") as picture:
        assert picture.mode == mode
        assert (np.asarray(picture).reshape(image.shape) == image).all()
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["x.png"]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with refused(tmp_path / "file", error=RunFault):
        save_image(np.zeros((2, 2, 3), np.uint8), tmp_path / "file" / "x.png")


def test_the_size_of_a_file_that_is_no_image(tmp_path):
    (tmp_path / "x.png").write_text("no picture")
    assert image_size(tmp_path / "x.png") is None
    assert image_size(tmp_path / "absent.png") is None
