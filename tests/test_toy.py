"""The built-in data set: what its scenes promise, how it is written, and how translations are scored."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import make_toy_dataset, score_translations
from scripts.toy.scenes import draw_scene, render, render_mask
from scripts.toy.score import score
from util.errors import RunFault, UserError, run

SMALL = ["--size", "32", "--train", "2", "--test", "2"]


def make(out: Path, *flags: str) -> int:
    return run(lambda: make_toy_dataset.main(["--out", str(out), *SMALL, *flags]))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_scene_depends_on_seed_split_and_index_alone():
    scene = draw_scene(0, "trainA", 3)
    assert scene == draw_scene(0, "trainA", 3)
    others = [draw_scene(1, "trainA", 3), draw_scene(0, "trainB", 3), draw_scene(0, "trainA", 4)]
    assert all(scene != other for other in others)


def test_the_styles_differ_on_the_animals_and_nowhere_else():
    for index in range(8):
        scene = draw_scene(0, "trainA", index)
        plain, striped = render(scene, "plain", 64), render(scene, "striped", 64)
        mask = render_mask(scene, 64)
        assert plain.shape == (64, 64, 3) and plain.dtype == np.uint8
        assert np.array_equal(plain[mask == 0], striped[mask == 0])
        difference = np.abs(plain.astype(int) - striped)[mask == 255]
        assert difference.mean() > 50


def test_the_animals_fill_a_fair_part_of_the_picture():
    shares = [render_mask(draw_scene(0, "trainA", index), 32).mean() / 255 for index in range(40)]
    assert 0.25 < np.mean(shares) < 0.4
    assert min(shares) > 0.15


def test_a_scene_is_the_same_picture_at_any_size():
    scene = draw_scene(0, "testB", 1)
    small = render(scene, "striped", 64).astype(float)
    for size, most in ((128, 4.0), (320, 4.0)):
        large = Image.fromarray(render(scene, "striped", size)).resize((64, 64), Image.Resampling.BOX)
        assert np.abs(np.asarray(large) - small).mean() < most
    other = render(draw_scene(0, "testB", 2), "striped", 64)
    assert np.abs(other - small).mean() > 20


def colour_table(source: np.ndarray, target: np.ndarray) -> dict[int, np.ndarray]:
    keys = colour_keys(source)
    order = np.argsort(keys)
    found, starts = np.unique(keys[order], return_index=True)
    groups = zip(found, np.split(target.reshape(-1, 3)[order], starts[1:]), strict=True)
    return {key: np.median(colours, axis=0) for key, colours in groups}


def colour_keys(image: np.ndarray) -> np.ndarray:
    return ((image.astype(int) // 10) @ np.array([1, 32, 1024])).ravel()


@pytest.mark.parametrize(
    ("source", "target", "least"), [("plain", "striped", 0.6), ("striped", "plain", 0.75)]
)
def test_the_truth_follows_from_what_the_source_shows(source, target, least):
    """The colour of a pixel alone tells most of its translation, learned on other scenes."""
    scenes = [draw_scene(0, "trainA", index) for index in range(45)]
    seen = np.stack([render(scene, source, 64) for scene in scenes])
    truth = np.stack([render(scene, target, 64) for scene in scenes])
    table = colour_table(seen[:30], truth[:30])
    asked = seen[30:].reshape(-1, 3)
    guess = np.array([table.get(key, own) for key, own in zip(colour_keys(asked), asked, strict=True)])
    error = np.abs(guess - truth[30:].reshape(-1, 3)).mean()
    copied = np.abs(seen[30:].astype(int) - truth[30:]).mean()
    assert copied > 18
    assert 1 - error / copied > least


def test_the_unaligned_layout_and_its_truth(tmp_path):
    out = tmp_path / "sets" / "toy"
    assert make(out) == 0
    folders = ["testA", "testA_truth", "testB", "testB_truth", "trainA", "trainB"]
    assert names(out) == sorted([*folders, "toy.json"])
    assert all(names(out / folder) == ["0000.png", "0001.png"] for folder in folders)
    scene = draw_scene(0, "testB", 1)
    assert np.array_equal(pixels(out / "testB" / "0001.png"), render(scene, "striped", 32))
    assert np.array_equal(pixels(out / "testB_truth" / "0001.png"), render(scene, "plain", 32))
    assert json.loads((out / "toy.json").read_text())["seed"] == 0


def test_the_aligned_layout_and_masks(tmp_path):
    assert make(tmp_path / "both", "--style", "both", "--masks") == 0
    both = set(names(tmp_path / "both"))
    assert {"train", "test", "train_mask", "test_mask", "trainA_mask", "testB_mask"} <= both
    assert make(tmp_path / "pairs", "--style", "aligned") == 0
    assert names(tmp_path / "pairs") == ["test", "toy.json", "train"]
    pair = pixels(tmp_path / "pairs" / "test" / "0000.png")
    mask = pixels(tmp_path / "both" / "test_mask" / "0000.png")
    assert pair.shape == (32, 64, 3) and mask.shape == (32, 32)
    left, right = pair[:, :32], pair[:, 32:]
    assert np.array_equal(left[mask == 0], right[mask == 0])
    assert not np.array_equal(left[mask == 255], right[mask == 255])


def test_a_larger_set_begins_with_the_smaller_one(tmp_path):
    make(tmp_path / "two")
    make(tmp_path / "three", "--train", "3")
    for name in ("trainA/0001.png", "trainB/0001.png", "testA/0001.png"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
    assert (tmp_path / "two/trainA/0000.png").read_bytes() != (tmp_path / "two/trainB/0000.png").read_bytes()


def test_equal_parameters_return_at_once(tmp_path, capsys):
    make(tmp_path / "toy")
    (tmp_path / "toy/trainA/0000.png").write_bytes(b"untouched")
    assert make(tmp_path / "toy") == 0
    assert "already there" in capsys.readouterr().out
    assert (tmp_path / "toy/trainA/0000.png").read_bytes() == b"untouched"


def test_other_parameters_need_force(tmp_path, capsys):
    make(tmp_path / "toy", "--train", "3")
    assert make(tmp_path / "toy") == 2
    assert "another folder or add --force" in capsys.readouterr().err
    assert len(names(tmp_path / "toy/trainA")) == 3
    assert make(tmp_path / "toy", "--force") == 0
    assert len(names(tmp_path / "toy/trainA")) == 2


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    photo = tmp_path / "photos" / "trainA" / "mine.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"mine")
    for flags in ([], ["--force"]):
        assert make(tmp_path / "photos", *flags) == 2
        assert "not a toy set" in capsys.readouterr().err
    assert photo.read_bytes() == b"mine"
    assert make(photo) == 2
    assert "is a file" in capsys.readouterr().err


def test_an_unfinished_set_says_so_and_is_drawn_anew(tmp_path, monkeypatch, capsys):
    out = tmp_path / "toy"
    save, count = make_toy_dataset._save, iter(range(5))

    def full_disk(path: Path, image: np.ndarray) -> None:
        if next(count, None) is None:
            raise OSError(28, "No space left on device", str(path))
        save(path, image)

    monkeypatch.setattr(make_toy_dataset, "_save", full_disk)
    assert make(out) == RunFault.exit_code
    assert "No space left on device" in capsys.readouterr().err
    assert not (out / "toy.json").exists()
    monkeypatch.undo()
    assert make(out) == 0 and (out / "toy.json").is_file()
    assert len(names(out / "testB_truth")) == 2


@pytest.mark.parametrize(
    "flags", [["--size", "31"], ["--size", "1025"], ["--train", "0"], ["--test", "0"], ["--seed", "-1"]]
)
def test_numbers_out_of_range_are_refused(tmp_path, capsys, flags):
    assert make(tmp_path / "toy", *flags) == 2
    assert capsys.readouterr().err.startswith(f"error: {flags[0]} {flags[1]} is out of range")
    assert not (tmp_path / "toy").exists()


@pytest.mark.parametrize("script", ["make_toy_dataset.py", "score_translations.py"])
def test_the_scripts_start_from_any_folder(tmp_path, script):
    command = [sys.executable, str(Path(make_toy_dataset.__file__).with_name(script)), "--help"]
    shown = subprocess.check_output(command, cwd=tmp_path, text=True)
    assert f"python scripts/{script}" in shown


@pytest.fixture
def toy(tmp_path):
    make(tmp_path / "toy")
    (tmp_path / "images").mkdir()
    return tmp_path / "toy"


def translate(toy: Path, share: float) -> Path:
    """Fakes that go `share` of the way from the input to the truth."""
    images = toy.parent / "images"
    for folder, label in (("testA", "fake_B"), ("testB", "fake_A")):
        for path in (toy / folder).iterdir():
            source, truth = pixels(path).astype(float), pixels(toy / f"{folder}_truth" / path.name)
            fake = np.round(source + share * (truth - source)).astype(np.uint8)
            Image.fromarray(fake).save(images / f"{path.stem}_{label}.png")
    return images


@pytest.mark.parametrize(("share", "lower"), [(0.0, 0.0), (0.5, 50.0), (1.0, 100.0)])
def test_the_score_is_the_part_of_the_way_to_the_truth(toy, share, lower):
    figures = score(translate(toy, share), toy)
    for name in ("A_to_B", "B_to_A", "mean"):
        assert figures[f"{name}_lower_percent"] == pytest.approx(lower, abs=1.0)
        left = (1 - share) * figures[f"{name}_copy_mae"]
        assert figures[f"{name}_mae"] == pytest.approx(left, abs=0.5 / 255)


def test_the_copy_error_is_in_grey_levels_by_255(toy):
    figures = score(translate(toy, 1.0), toy)
    errors = [
        np.abs(pixels(path).astype(float) - pixels(toy / "testA_truth" / path.name)).mean() / 255
        for path in (toy / "testA").iterdir()
    ]
    assert figures["A_to_B_copy_mae"] == pytest.approx(np.mean(errors), rel=1e-5)
    both = figures["A_to_B_copy_mae"] + figures["B_to_A_copy_mae"]
    assert figures["mean_copy_mae"] == pytest.approx(both / 2)


def test_the_score_script_prints_and_writes_the_figures(toy, capsys):
    images = translate(toy, 1.0)
    flags = ["--results", str(images), "--dataroot", str(toy), "--json", str(toy.parent / "out.json")]
    score_translations.main(flags)
    assert "100.0 % lower" in capsys.readouterr().out
    assert json.loads((toy.parent / "out.json").read_text()) == score(images, toy)


def test_what_cannot_be_scored_is_named(toy, tmp_path):
    images = translate(toy, 1.0)
    with pytest.raises(UserError, match="has no testA with testA_truth"):
        score(images, tmp_path)
    Image.new("RGB", (16, 16)).save(images / "0001_fake_A.png")
    with pytest.raises(UserError, match=r"fake_A of 0001.png is 16x16 and the truth 32x32"):
        score(images, toy)
    (images / "0001_fake_A.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read as an image"):
        score(images, toy)
    (images / "0001_fake_A.png").unlink()
    with pytest.raises(UserError, match=r"0001_fake_A.png is missing"):
        score(images, toy)
