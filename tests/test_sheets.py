"""The inputs of sample sheets, and how sheets are drawn, saved and shown."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import refused
from PIL import Image

from util.imaging.gif import save_gif
from util.imaging.images import GAP, grid, image_size, sheet, to_uint8
from util.imaging.sheets import (
    MIN_CLASSES,
    SEEDS_PER_LOOP,
    SHEETS,
    Plan,
    Sheet,
    loop,
    make,
    most_seeds,
    slerp,
)
from util.noise import seeded_z
from util.pages.sheet_page import SheetPage, draw

PLAN = Plan(z_dim=6, n_classes=12, columns=3, steps=4, truncations=(math.inf, 0.5))
BARE = replace(PLAN, n_classes=0)


def rows(sheet: Sheet) -> torch.Tensor:
    """z as (rows, columns, z_dim)."""
    return sheet.z.unflatten(0, (-1, sheet.columns))


def labels(sheet: Sheet) -> torch.Tensor:
    assert sheet.label is not None
    return sheet.label.unflatten(0, (-1, sheet.columns))


def only(name: str, plan: Plan = PLAN) -> Sheet:
    (sheet,) = make([name], plan)
    return sheet


def test_slerp_turns_by_equal_angles():
    a, b = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    path = slerp(a[:, None], b[:, None], torch.linspace(0, 1, 7))
    assert path.shape == (5, 7, 16)
    assert torch.allclose(path[:, 0], a) and torch.allclose(path[:, -1], b)
    unit = torch.nn.functional.normalize(path.double(), dim=2)
    turns = torch.acos((unit[:, :-1] * unit[:, 1:]).sum(2))
    assert torch.allclose(turns, turns[:, :1].expand_as(turns), atol=1e-4)


def test_slerp_keeps_the_norm_of_noise_unlike_a_straight_line():
    a, b = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(0))
    length = slerp(a[:, None], b[:, None], torch.tensor([0.25])).norm(dim=2)[:, 0]
    assert torch.allclose(length, 0.75 * a.norm(dim=1) + 0.25 * b.norm(dim=1), rtol=1e-5)
    assert ((0.5 * a + 0.5 * b).norm(dim=1) < 0.85 * length).all()


@pytest.mark.parametrize(("end", "middle"), [([2.0], [1.5]), ([-2.0], [0.0]), ([1.0], [1.0])])
def test_slerp_between_parallel_and_opposite_vectors_is_a_straight_line(end, middle):
    path = slerp(torch.tensor([[[1.0]]]), torch.tensor([[end]]), torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(path[0], torch.tensor([[1.0], middle, end]), atol=2e-3)


def test_the_grid_shows_the_seeds_in_order_and_names_files_as_test_py_does():
    sheet = only("grid", replace(PLAN, seed=10, truncation=0.7))
    assert torch.equal(sheet.z[4], seeded_z(14, 6, 0.7))
    assert sheet.label.tolist() == [10, 11, 0, 1, 2, 3, 4, 5, 6]
    assert sheet.files[:3] == ("seed000010_class10.png", "seed000011_class11.png", "seed000012_class00.png")
    assert len(sheet.files) == 9
    assert only("grid", replace(PLAN, classes=(5, 3))).label.tolist() == [5, 3, 5, 3, 5, 3, 5, 3, 5]
    assert only("grid", BARE).files[8] == "seed000008.png"


def test_classes_are_rows_and_a_column_has_one_z():
    sheet = only("classes")
    assert rows(sheet).shape[:2] == (10, 3)
    assert labels(sheet).tolist() == [[number] * 3 for number in range(10)]
    assert all(torch.equal(row, rows(sheet)[0]) for row in rows(sheet))
    assert labels(only("classes", replace(PLAN, classes=(11, 2))))[:, 0].tolist() == [11, 2]


def test_interpolation_in_z_goes_from_seed_to_seed_in_one_class():
    sheet = only("interpolate_z")
    assert rows(sheet).shape[:2] == (3, 4)
    ends = torch.stack([seeded_z(seed, 6) for seed in range(6)])
    assert torch.allclose(rows(sheet)[:, 0], ends[0::2]) and torch.allclose(rows(sheet)[:, -1], ends[1::2])
    assert labels(sheet).tolist() == [[0] * 4, [1] * 4, [2] * 4]


def test_interpolation_in_the_label_keeps_z_and_mixes_two_classes():
    sheet = only("interpolate_label", replace(PLAN, classes=(4, 7)))
    assert all(torch.equal(z, seeded_z(row, 6)) for row in range(3) for z in rows(sheet)[row])
    weights = labels(sheet)
    assert weights.shape == (3, 4, 12) and weights.dtype == torch.float32
    assert torch.allclose(weights.sum(2), torch.ones(3, 4))
    assert weights[0, :, 4].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert weights[0, :, 7].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert weights[1, 0, 7] == weights[1, -1, 4] == 1  # back to the first


def test_interpolation_in_both_combines_the_other_two():
    both = only("interpolate_both")
    assert torch.equal(both.z, only("interpolate_z").z)
    assert torch.equal(both.label, only("interpolate_label").label)


def test_truncation_rows_go_from_strong_to_none():
    sheet = only("truncation")
    z = rows(sheet)
    assert z.shape[:2] == (2, 3) and z[0].abs().max() <= 0.5
    assert torch.equal(z[1, 2], seeded_z(2, 6))
    assert torch.equal(z[0].sign(), z[1].sign())  # a seed keeps its direction
    assert labels(sheet).tolist() == [[0, 1, 2]] * 2
    assert sheet.caption.index("0.5") < sheet.caption.index("none")


def test_attention_shows_the_first_images_of_the_grid():
    sheet, whole = only("attention"), only("grid")
    assert sheet.shows == "attn_G"
    assert torch.equal(sheet.z, whole.z[:3]) and torch.equal(sheet.label, whole.label[:3])


def test_the_loop_is_closed_and_passes_its_seeds():
    sheet = loop(PLAN, frames=20, fps=10)
    frames = rows(sheet)
    assert frames.shape == (20, 3, 6) and sheet.fps == 10
    assert torch.allclose(frames[0, 1], seeded_z(SEEDS_PER_LOOP, 6))
    assert torch.allclose(frames[15, 0], seeded_z(3, 6))
    turns = 1 - torch.nn.functional.cosine_similarity(frames, torch.roll(frames, -1, 0), dim=2)
    assert torch.allclose(turns[19], turns[18], rtol=1e-3)  # last to first, as from frame to frame
    assert labels(sheet).tolist() == [[0, 1, 2]] * 20
    assert len(loop(BARE, frames=2, fps=1).z) == 6


@pytest.mark.parametrize("plan", [PLAN, BARE, replace(PLAN, n_classes=1), replace(PLAN, columns=1)])
def test_every_sheet_that_fits_is_complete(plan):
    for made in [*make([], plan), loop(plan, frames=5, fps=1)]:
        assert made.z.dtype == torch.float32 and len(made.z) % made.columns == 0, made.name
        assert (made.label is None) == (plan.n_classes == 0), made.name
        assert made.label is None or len(made.label) == len(made.z), made.name
        assert made.title and made.caption[0].isupper(), made.name


def test_sheets_that_do_not_fit_are_left_out_unless_named():
    names = [sheet.name for sheet in make([], BARE)]
    assert [sheet.name for sheet in make([], PLAN)] == list(SHEETS)
    assert names == [name for name in SHEETS if name not in MIN_CLASSES]
    one_class = replace(PLAN, classes=(3,))
    assert {sheet.name for sheet in make([], one_class)} == {*names, "classes"}
    for name in MIN_CLASSES:
        with refused("--sheets", name):
            make(["grid", name], BARE)
    with refused("--sheets", "interpolate_label", 2, 1):
        make(["interpolate_label"], one_class)
    with refused("--sheets", "clases", "classes"):
        make(["clases"], PLAN)


@pytest.mark.parametrize("columns", [1, 3, 6])
def test_no_sheet_uses_more_seeds_than_most_seeds(columns, monkeypatch):
    used = []
    monkeypatch.setattr(
        "util.noise.seeded_z", lambda seed, z_dim, cut: (used.append(seed), seeded_z(seed, z_dim))[1]
    )
    plan = replace(PLAN, columns=columns)
    make([], plan)
    loop(plan, frames=4, fps=1)
    assert max(used) + 1 == most_seeds(columns)


def test_grids_of_tensors_and_of_arrays_agree():
    images = torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture = grid(images, 2)
    assert picture.shape == (1, 3, 3 * 4 + 2 * GAP, 2 * 6 + GAP)
    assert (to_uint8(picture)[0] == sheet(to_uint8(images), 2)).all()
    assert (picture[0, :, -4:, -6:] == 1).all()  # an empty cell is white
    assert torch.equal(picture[0, :, :4, -6:], images[1])


def frames(channels: int, count: int = 4) -> list[np.ndarray]:
    return [np.full((8, 10, channels), 60 * index, np.uint8) for index in range(count)]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_gif_repeats_its_frames_endlessly(tmp_path, channels):
    save_gif(frames(channels), tmp_path / "x.gif", fps=10)
    with Image.open(tmp_path / "x.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"], gif.info["duration"]) == (4, (10, 8), 0, 100)
        for index in range(4):
            gif.seek(index)
            assert abs(gif.convert("L").getpixel((3, 3)) - 60 * index) <= 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.gif"]


def test_a_sheet_is_drawn_in_batches_and_in_order():
    sizes = []

    def test(batch):
        sizes.append(len(batch["z"]))
        assert batch["label"].dtype == torch.int64
        return {"fake": batch["label"].float()[:, None, None, None].expand(-1, 1, 2, 2) / 127.5 - 1}

    drawn = draw(test, only("classes"), batch_size=8)
    assert sizes == [8, 8, 8, 6]
    assert drawn[:, 0, 0, 0].tolist() == only("classes").label.tolist()


def test_a_model_without_labels_receives_none():
    def test(batch):
        assert batch.keys() == {"z"}
        return {"fake": batch["z"][:, :3, None, None]}

    assert draw(test, only("grid", BARE), batch_size=4).shape == (9, 1, 1, 3)
    assert draw(test, only("attention", BARE), batch_size=4) is None


def test_an_attention_sheet_with_two_points_per_image_is_as_wide_as_the_others(tmp_path):
    page = SheetPage(tmp_path, "t")
    plan = replace(BARE, columns=4)
    page.add(only("grid", plan), np.zeros((16, 5, 5, 3), np.uint8))
    page.add(only("attention", plan), np.zeros((4, 5, 10, 3), np.uint8))
    page.save()
    assert image_size(tmp_path / "images" / "grid.png") == (4 * 5 + 3 * GAP, 4 * 5 + 3 * GAP)
    assert image_size(tmp_path / "images" / "attention.png") == (2 * 10 + GAP, 2 * 5 + GAP)
    text = (tmp_path / "index.html").read_text()
    assert '"width:26px"' in text and '"width:22px"' in text  # in their own size
    assert text.index("<h2>Samples") < text.index("<h2>Attention")
