"""Resizing, cropping, flipping and scaling have the pixels of upstream, which are those of torchvision."""

import argparse
import pickle
import random

import numpy as np
import pytest
import torch
from conftest import refused
from PIL import Image
from torchvision import transforms as tv
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tvf

from data.base_dataset import get_params, get_transform
from data.transforms import Draw, Preprocess, to_tensor
from options.checks import PREPROCESS


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def options(**changed: object) -> argparse.Namespace:
    return argparse.Namespace(
        **{"preprocess": "resize_and_crop", "load_size": 40, "crop_size": 32, "no_flip": False, **changed}
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_to_tensor_is_bit_equal_to_totensor_and_normalize(mode: str) -> None:
    image = photo(31, 17, mode)
    channels = len(image.getbands())
    expected = tv.Compose([tv.ToTensor(), tv.Normalize((0.5,) * channels, (0.5,) * channels)])(image)
    found = to_tensor(image)
    assert found.dtype == torch.float32 and found.is_contiguous()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("mode", "size", "scaled"),
    [
        ("resize_and_crop", (57, 43), (40, 40)),
        ("resize", (57, 43), (40, 40)),
        ("crop", (57, 43), (57, 43)),
        ("scale_width", (80, 70), (40, 35)),
        ("scale_width", (80, 20), (40, 32)),  # not lower than the crop
        ("scale_width", (40, 50), (40, 50)),
        ("scale_width_and_crop", (63, 100), (40, 63)),
        ("none", (58, 41), (56, 40)),  # 58 / 4 = 14.5 is rounded to even
    ],
)
def test_equals_the_torchvision_pipeline(
    mode: str, size: tuple[int, int], scaled: tuple[int, int], flip: bool
) -> None:
    image = photo(*size)
    draw = Draw((5, 3), flip)
    preprocess = Preprocess(mode, load_size=40, crop_size=32)
    assert preprocess.scaled(size) == scaled
    expected = tvf.resize(image, [scaled[1], scaled[0]], InterpolationMode.BICUBIC)
    if mode.endswith("crop"):
        expected = tvf.crop(expected, top=3, left=5, height=32, width=32)
    if flip:
        expected = tvf.hflip(expected)
    assert np.array_equal(np.asarray(preprocess.apply(image, draw)), np.asarray(expected))


def test_draws_reach_every_position_and_flip_half_the_time() -> None:
    preprocess = Preprocess("crop", crop_size=8)
    rng = random.Random(0)
    draws = [preprocess.draw((11, 9), rng) for _ in range(2000)]
    assert {draw.crop_pos for draw in draws} == {(x, y) for x in range(4) for y in range(2)}
    assert abs(sum(draw.flip for draw in draws) / 2000 - 0.5) < 0.04
    assert preprocess.draw((8, 5), rng).crop_pos == (0, 0)


@pytest.mark.parametrize(
    "mode", ["resize_and_crop", "resize", "crop", "scale_width", "scale_width_and_crop", "none"]
)
def test_upstream_modes_draw_the_same_numbers_as_upstream(mode: str) -> None:
    preprocess, rng = Preprocess(mode, load_size=40, crop_size=32), random.Random(7)
    width, height = preprocess.scaled((57, 43))
    expected = rng.randint(0, width - 32), rng.randint(0, height - 32), rng.random() > 0.5
    draw = preprocess.draw((57, 43), random.Random(7))
    assert (*draw.crop_pos, draw.flip) == expected


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("size", "side"), [((178, 218), 160), ((57, 43), 20), ((43, 57), 0), ((60, 43), 0)])
def test_center_is_centercrop_and_resize(size: tuple[int, int], side: int, flip: bool) -> None:
    image = photo(*size)
    expected = tv.Compose([tv.CenterCrop(side or 43), tv.Resize(16, InterpolationMode.BICUBIC)])(image)
    preprocess = Preprocess("center", crop_size=16, center_size=side)
    draw = preprocess.draw(size, random.Random(0))
    assert draw.crop_pos == (0, 0) and preprocess.scaled(size) == (16, 16)
    found = preprocess.apply(image, Draw(draw.crop_pos, flip))
    assert np.array_equal(np.asarray(found), np.asarray(tvf.hflip(expected) if flip else expected))


def test_images_smaller_than_the_crop_are_named() -> None:
    preprocess = Preprocess("center", crop_size=8, center_size=41)
    with refused("x/cat.png", "50x40", "--center_size 41"):
        preprocess.apply(photo(50, 40), Draw((0, 0), False), name="x/cat.png")
    with refused("x/cat.png", "40x20", "--crop_size 32"):
        Preprocess("crop", crop_size=32).apply(photo(40, 20), Draw((0, 0), False), name="x/cat.png")


@pytest.mark.parametrize(("size", "along"), [((20, 12), 0), ((12, 20), 1), ((12, 12), 0)])
def test_long_edge_draws_a_square_of_the_shorter_side(size: tuple[int, int], along: int) -> None:
    preprocess, rng = Preprocess("long_edge", load_size=5, crop_size=8), random.Random(0)
    draws = [preprocess.draw(size, rng) for _ in range(300)]
    assert {draw.crop_pos[along] for draw in draws} == set(range(max(size) - 12 + 1))
    assert {draw.crop_pos[1 - along] for draw in draws} == {0}
    image, (x, y) = photo(*size), draws[0].crop_pos
    expected = tvf.resize(tvf.crop(image, y, x, 12, 12), [8, 8], InterpolationMode.BICUBIC)
    assert np.array_equal(np.asarray(preprocess.apply(image, Draw((x, y), False))), np.asarray(expected))


@pytest.mark.parametrize("size", [(57, 43), (43, 57)])
@pytest.mark.parametrize("mode", PREPROCESS)
def test_apply_equals_prepare_and_finish(mode: str, size: tuple[int, int]) -> None:
    preprocess, image = Preprocess(mode, load_size=40, crop_size=32, center_size=40), photo(*size)
    prepared = preprocess.prepare(image)
    assert prepared.size == preprocess.scaled(size)
    draw = preprocess.draw(size, random.Random(3))
    assert preprocess.draw_prepared(prepared.size, random.Random(3)) == draw
    assert preprocess.finish(prepared, draw) == preprocess.apply(image, draw)


def test_no_flip_ignores_the_drawn_flip() -> None:
    image = photo(8, 8)
    assert Preprocess("none", flip=False).apply(image, Draw((0, 0), True)) == image


def test_scaled_width_is_at_least_as_high_as_the_crop() -> None:
    assert Preprocess("scale_width", load_size=30, crop_size=32).scaled((60, 60)) == (30, 32)


def test_get_params_and_get_transform_depend_on_the_global_seed() -> None:
    opt, image = options(), photo(57, 43)
    random.seed(3)
    params = get_params(opt, image.size)
    random.seed(3)
    assert get_params(opt, image.size) == params
    assert set(params) == {"crop_pos", "flip"} and all(0 <= at <= 8 for at in params["crop_pos"])
    transform = get_transform(opt, params)
    draw = Draw(params["crop_pos"], params["flip"])
    assert torch.equal(transform(image), to_tensor(Preprocess(load_size=40, crop_size=32).apply(image, draw)))
    unfixed = get_transform(opt)
    assert len({unfixed(image).sum().item() for _ in range(8)}) > 1


def test_get_transform_supports_grayscale_method_and_convert() -> None:
    opt, image = options(preprocess="resize", no_flip=True), photo(57, 43)
    assert get_transform(opt, grayscale=True)(image).shape == (1, 40, 40)
    nearest = get_transform(opt, method=Image.NEAREST, convert=False)(image)
    assert nearest == image.resize((40, 40), Image.NEAREST)


def test_transforms_pickle() -> None:
    transform = get_transform(options(), {"crop_pos": (1, 2), "flip": True})
    image = photo(57, 43)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(image), transform(image))
