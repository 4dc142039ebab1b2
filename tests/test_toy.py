"""The built-in data set: properties of its scenes, how it is written, and how translations are scored."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, names_all, refused
from PIL import Image

from scripts import make_toy_dataset, score_translations
from scripts.score_translations import score
from scripts.toy.scenes import draw_scene, render, render_mask
from util.errors import RunFault, run

SMALL = ["--size", "32", "--train", "2", "--test", "2"]


def make(out: Path, *flags: str) -> int:
    return run(lambda: make_toy_dataset.main(["--out", str(out), *SMALL, *flags]))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_scene_depends_only_on_seed_split_and_index():
    scene = draw_scene(0, "trainA", 3)
    assert scene == draw_scene(0, "trainA", 3)
    others = [draw_scene(1, "trainA", 3), draw_scene(0, "trainB", 3), draw_scene(0, "trainA", 4)]
    assert all(scene != other for other in others)


def test_the_styles_differ_on_the_animals_and_nowhere_else():
    for index in range(8):
        scene = draw_scene(0, "trainA", index)
        brown, striped = render(scene, "brown", 64), render(scene, "striped", 64)
        mask = render_mask(scene, 64)
        assert brown.shape == (64, 64, 3) and brown.dtype == np.uint8
        assert np.array_equal(brown[mask == 0], striped[mask == 0])
        difference = np.abs(brown.astype(int) - striped)[mask == 255]
        assert difference.mean() > 50


def test_the_animals_fill_a_third_of_the_picture():
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
    ("source", "target", "least"), [("brown", "striped", 0.6), ("striped", "brown", 0.75)]
)
def test_the_truth_can_be_computed_from_the_source(source, target, least):
    """The colour of a pixel determines most of its translation, as learned on other scenes."""
    scenes = [draw_scene(0, "trainA", index) for index in range(45)]
    seen = np.stack([render(scene, source, 64) for scene in scenes])
    truth = np.stack([render(scene, target, 64) for scene in scenes])
    table = colour_table(seen[:30], truth[:30])
    unseen = seen[30:].reshape(-1, 3)
    guess = np.array([table.get(key, own) for key, own in zip(colour_keys(unseen), unseen, strict=True)])
    error = np.abs(guess - truth[30:].reshape(-1, 3)).mean()
    copied = np.abs(seen[30:].astype(int) - truth[30:]).mean()
    assert copied > 18
    assert 1 - error / copied > least


@pytest.fixture(scope="module")
def unaligned(tmp_path_factory):
    """A set that no test changes."""
    out = tmp_path_factory.mktemp("toy") / "sets" / "toy"
    assert make(out) == 0
    return out


@pytest.fixture
def toy(unaligned, tmp_path):
    """A copy of the set that a test may change."""
    return Path(shutil.copytree(unaligned, tmp_path / "toy"))


def test_an_unaligned_set_has_the_truth_of_its_test_images(unaligned):
    folders = ["testA", "testA_truth", "testB", "testB_truth", "trainA", "trainB"]
    assert names(unaligned) == sorted([*folders, "toy.json"])
    assert all(names(unaligned / folder) == ["0000.png", "0001.png"] for folder in folders)
    scene = draw_scene(0, "testB", 1)
    assert np.array_equal(pixels(unaligned / "testB" / "0001.png"), render(scene, "striped", 32))
    assert np.array_equal(pixels(unaligned / "testB_truth" / "0001.png"), render(scene, "brown", 32))
    assert json.loads((unaligned / "toy.json").read_text())["seed"] == 0


def test_an_aligned_set_shows_each_scene_twice(tmp_path):
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


def test_a_larger_set_begins_with_the_smaller_one(unaligned, tmp_path):
    make(tmp_path / "three", "--train", "3")
    for name in ("trainA/0001.png", "trainB/0001.png", "testA/0001.png"):
        assert (unaligned / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
    assert (unaligned / "trainA/0000.png").read_bytes() != (unaligned / "trainB/0000.png").read_bytes()


def test_a_set_with_equal_parameters_is_not_drawn_again(toy):
    (toy / "trainA/0000.png").write_bytes(b"unchanged")
    assert make(toy) == 0
    assert (toy / "trainA/0000.png").read_bytes() == b"unchanged"


def test_a_set_with_other_parameters_is_replaced_only_with_force(toy, capsys):
    larger = ["--train", "3"]
    assert make(toy, *larger) == 2
    assert names_all(capsys.readouterr().err, [f"--out {toy}", "--force"])
    assert len(names(toy / "trainA")) == 2
    assert make(toy, *larger, "--force") == 0
    assert len(names(toy / "trainA")) == 3


def test_a_folder_with_other_content_is_not_changed(tmp_path, capsys):
    photo = tmp_path / "photos" / "trainA" / "mine.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"mine")
    for out, *flags in ([tmp_path / "photos"], [tmp_path / "photos", "--force"], [photo]):
        assert make(out, *flags) == 2
        assert names_all(capsys.readouterr().err, [f"--out {out}"])
    assert photo.read_bytes() == b"mine"


def test_an_unfinished_set_is_marked_and_drawn_again(tmp_path, monkeypatch, capsys):
    out = tmp_path / "toy"
    save, count = make_toy_dataset._save, iter(range(5))

    def full_disk(path: Path, image: np.ndarray) -> None:
        if next(count, None) is None:
            raise OSError(28, "No space left on device", str(path))
        save(path, image)

    monkeypatch.setattr(make_toy_dataset, "_save", full_disk)
    assert make(out) == RunFault.exit_code
    assert names_all(capsys.readouterr().err, ["No space left on device", "--out"])
    assert not (out / "toy.json").exists()
    monkeypatch.undo()
    assert make(out) == 0 and (out / "toy.json").is_file()
    assert len(names(out / "testB_truth")) == 2


@pytest.mark.parametrize(
    "flags", [["--size", "31"], ["--size", "1025"], ["--train", "0"], ["--test", "0"], ["--seed", "-1"]]
)
def test_numbers_out_of_range_are_refused(tmp_path, capsys, flags):
    assert make(tmp_path / "toy", *flags) == 2
    assert names_all(capsys.readouterr().err, flags)
    assert not (tmp_path / "toy").exists()


def test_the_scripts_start_in_any_folder(tmp_path):
    for name in ("make_toy_dataset.py", "score_translations.py"):
        command = [sys.executable, str(ROOT / "scripts" / name), "--help"]
        shown = subprocess.check_output(command, cwd=tmp_path, text=True)
        assert f"python scripts/{name}" in shown


def translate(toy: Path, share: float) -> Path:
    """Write fakes that lie `share` of the way from the input to the truth."""
    images = toy.parent / "images"
    images.mkdir()
    for folder, label in (("testA", "fake_B"), ("testB", "fake_A")):
        for path in (toy / folder).iterdir():
            source, truth = pixels(path).astype(float), pixels(toy / f"{folder}_truth" / path.name)
            fake = np.round(source + share * (truth - source)).astype(np.uint8)
            Image.fromarray(fake).save(images / f"{path.stem}_{label}.png")
    return images


@pytest.mark.parametrize(("share", "lower"), [(0.0, 0.0), (0.5, 50.0), (1.0, 100.0)])
def test_the_score_is_the_share_of_the_way_to_the_truth(toy, share, lower):
    figures = score(translate(toy, share), toy)
    for name in ("A_to_B", "B_to_A", "mean"):
        assert figures[f"{name}_lower_percent"] == pytest.approx(lower, abs=1.0)
        left = (1 - share) * figures[f"{name}_copy_mae"]
        assert figures[f"{name}_mae"] == pytest.approx(left, abs=0.5 / 255)
    # grey levels / 255
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
    assert "100.0 %" in capsys.readouterr().out
    assert json.loads((toy.parent / "out.json").read_text()) == score(images, toy)


def test_missing_and_damaged_files_are_named(toy, tmp_path):
    images = translate(toy, 1.0)
    fake = images / "0001_fake_A.png"
    with refused(f"--dataroot {tmp_path}", "testA_truth"):
        score(images, tmp_path)
    Image.new("RGB", (16, 16)).save(fake)
    with refused("fake_A", "0001.png", "16x16", "32x32", "--crop_size 32"):
        score(images, toy)
    fake.write_bytes(b"no image")
    with refused(fake):
        score(images, toy)
    fake.unlink()
    with refused(fake, "--num_test"):
        score(images, toy)
