"""Image files of every kind become 8-bit grey, RGB or RGBA; broken files are named."""

from pathlib import Path

import numpy as np
import pytest
from conftest import names_all, refused
from data_helpers import saved
from PIL import ExifTags, Image, ImageOps

from data.images import check_images, open_image
from util.errors import UserError

RAMP16 = np.array([[0, 1, 128, 129, 32768, 65535]], np.uint16)


def pixels(path: Path, channels: int) -> list:
    image = open_image(path, channels)
    assert image.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    return np.asarray(image).tolist()


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_is_divided_by_257_and_rounded(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(RAMP16))
    assert pixels(path, 1) == [[0, 0, 0, 1, 128, 255]]
    assert pixels(path, 3)[0][4] == [128, 128, 128]


def test_32_bit_integers_beyond_16_bits_are_scaled(tmp_path: Path) -> None:
    within = saved(tmp_path / "a.tif", Image.fromarray(RAMP16.astype(np.int32)))
    beyond = saved(tmp_path / "b.tif", Image.fromarray(np.array([[-100, 0, 100_000 - 100]], np.int32)))
    assert pixels(within, 1) == [[0, 0, 0, 1, 128, 255]]
    assert pixels(beyond, 1) == [[0, 0, 255]]


def test_floats_are_scaled_from_their_minimum_and_maximum(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[-1.0, 0.0, 1.0]], np.float32)))
    flat = saved(tmp_path / "b.tif", Image.fromarray(np.full((1, 2), 7.0, np.float32)))
    nan = saved(tmp_path / "c.tif", Image.fromarray(np.array([[0.0, np.nan]], np.float32)))
    assert pixels(path, 1) == [[0, 128, 255]]
    assert pixels(flat, 1) == [[0, 0]]
    with refused(nan, "RGB", "NaN"):
        open_image(nan, 3)


def test_grey_from_rgb_is_luma_and_grey_is_unchanged(tmp_path: Path) -> None:
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8))
    grey = colour.convert("L")
    assert pixels(saved(tmp_path / "a.png", colour), 1) == np.asarray(grey).tolist()
    assert pixels(saved(tmp_path / "b.png", grey), 1) == np.asarray(grey).tolist()
    assert pixels(saved(tmp_path / "b.png", grey), 3)[0][0] == [grey.getpixel((0, 0))] * 3


def test_palette_and_cmyk(tmp_path: Path) -> None:
    palette = Image.new("P", (1, 1), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert pixels(saved(tmp_path / "a.png", palette), 3) == [[[10, 20, 30]]]
    cmyk = Image.new("CMYK", (1, 1), (0, 255, 255, 0))
    assert pixels(saved(tmp_path / "b.tif", cmyk), 3) == [[[255, 0, 0]]]
    assert pixels(tmp_path / "b.tif", 4) == [[[255, 0, 0, 255]]]


def test_alpha_is_blended_with_white_unless_the_target_has_it(tmp_path: Path) -> None:
    half = saved(tmp_path / "a.png", Image.new("RGBA", (1, 1), (255, 0, 0, 51)))
    grey = saved(tmp_path / "b.png", Image.new("LA", (1, 1), (0, 0)))
    key = Image.new("P", (1, 1), 0)
    key.putpalette([9, 9, 9])
    key.save(tmp_path / "c.png", transparency=0)
    assert pixels(half, 3) == [[[255, 204, 204]]]
    assert pixels(half, 4) == [[[255, 0, 0, 51]]]
    assert pixels(grey, 1) == [[255]]
    assert pixels(tmp_path / "c.png", 3) == [[[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["png", "tif", "webp"])  # these store exact pixels
@pytest.mark.parametrize("orientation", range(10))
def test_the_exif_orientation_is_applied(tmp_path: Path, kind: str, orientation: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (2, 4, 3), np.uint8)
    stored, exif = Image.fromarray(colours), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / f"a.{kind}", exif=exif, lossless=True)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / f"a.{kind}")).convert("RGB")
    found = open_image(tmp_path / f"a.{kind}", 3)
    assert found.size == ((2, 4) if 5 <= orientation <= 8 else (4, 2))
    assert found.tobytes() == expected.tobytes()
    assert (found.tobytes() == stored.tobytes()) == (orientation not in range(2, 9))


def test_a_damaged_exif_block_does_not_matter(tmp_path: Path) -> None:
    Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg", exif=b"Exif\0\0rubbish" + bytes(range(200)))
    assert open_image(tmp_path / "a.jpg", 3).size == (4, 2)


def test_other_channel_counts_are_rejected(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (1, 1)))
    with refused("--input_nc", "--output_nc 5", 1, 3, 4):
        open_image(path, 5)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", Image.effect_noise((64, 64), 50)).read_bytes()
    for name, content in {"cut.png": whole[:900], "text.png": b"hello", "empty.jpg": b""}.items():
        (tmp_path / name).write_bytes(content)
        with refused(tmp_path / name):
            open_image(tmp_path / name, 3)
    with refused(tmp_path / "gone.png"):
        open_image(tmp_path / "gone.png", 3)


def test_a_decompression_bomb_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (50, 50)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with refused(path, "2,000"):
        open_image(path, 1)


def test_check_data_names_broken_files_by_position(tmp_path: Path) -> None:
    paths = [str(saved(tmp_path / f"{number}.png", Image.new("L", (2, 2)))) for number in range(9)]
    check_images(paths)
    for number in range(1, 8):
        Path(paths[number]).write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        check_images(paths)
    assert names_all(str(caught.value), [7, *paths[1:6]]) and paths[6] not in str(caught.value)
