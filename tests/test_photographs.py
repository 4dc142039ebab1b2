"""test.py with photographs: one command, one folder for each input, and nothing that stops half-way."""

import errno
import io
import json
import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw_images, names_all
from PIL import Image

from models import create_model

Runner = Callable[..., int]
Translate = Callable[..., int]
OptionMaker = Callable[..., Namespace]
ONE = ("--model", "test", "--model_suffix", "_A")


@pytest.fixture
def make_run(train_opt: OptionMaker, tmp_path: Path) -> Callable[..., Path]:
    """Make a CycleGAN run: G_A makes white images and G_B black ones, whatever they are given."""

    def make(*words: object) -> Path:
        opt = train_opt("--model", "cycle_gan", "--name", "s2a", *words, dataroot=tmp_path)
        model = create_model(opt)
        with torch.no_grad():
            for name, value in (("G_A", 20.0), ("G_B", -20.0)):
                layers = [part for part in model.nets[name].modules() if isinstance(part, torch.nn.Conv2d)]
                layers[-1].weight.zero_()
                layers[-1].bias.fill_(value)
        model.save_networks("latest")
        values = {name: value for name, value in vars(opt).items() if name != "max_dataset_size"}
        (model.save_dir / "opt.json").write_text(json.dumps(values))
        return model.save_dir

    return make


@pytest.fixture
def translator(make_run: Callable[..., Path]) -> Path:
    return make_run()


@pytest.fixture
def translate(run_script: Runner, tmp_path: Path) -> Translate:
    """Run test.py with the run `s2a`."""

    def run(dataroot: Path, *words: object) -> int:
        place = ["--checkpoints_dir", tmp_path / "runs", "--results_dir", tmp_path / "results"]
        return run_script("test.py", *place, "--name", "s2a", "--dataroot", dataroot, *words)

    return run


def images(results: Path) -> list[Path]:
    return sorted(results.rglob("*.png"))


def fakes(results: Path) -> list[Path]:
    return [path for path in images(results) if "fake" in path.name]


# ---------------------------------------------------------------------- one command


@pytest.mark.parametrize(
    ("trained", "given", "level"),
    [
        ("AtoB", [], 255),
        ("AtoB", ["--direction", "AtoB"], 255),
        ("AtoB", ["--direction", "BtoA"], 0),
        ("AtoB", ["--direction", "BtoA", "--model_suffix", "_A"], 255),
        ("BtoA", [], 255),
        ("BtoA", ["--direction", "AtoB"], 0),
    ],
)
def test_the_direction_chooses_the_generator(
    make_run: Callable[..., Path],
    translate: Translate,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    trained: str,
    given: list[str],
    level: int,
) -> None:
    make_run("--direction", trained)
    draw_images(tmp_path / "photos", 2)
    capsys.readouterr()
    assert translate(tmp_path / "photos", "--model", "test", *given) == 0
    made = fakes(tmp_path / "results")
    assert len(made) == 2 and all(np.asarray(Image.open(path)).mean() == level for path in made)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("given", "channels"), [("AtoB", (3, 1)), ("BtoA", (1, 3))])
def test_each_direction_has_its_own_channels(
    make_run: Callable[..., Path], translate: Translate, tmp_path: Path, given: str, channels: tuple[int, int]
) -> None:
    make_run("--input_nc", 3, "--output_nc", 1, "--lambda_identity", 0)
    draw_images(tmp_path / "photos", 1)
    assert translate(tmp_path / "photos", "--model", "test", "--direction", given) == 0
    folder = tmp_path / "results" / "s2a" / "test_latest" / "images"
    modes = [Image.open(folder / f"000_{label}.png").mode for label in ("real", "fake")]
    assert modes == [{3: "RGB", 1: "L"}[count] for count in channels]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_photographs_without_model_test_get_the_right_advice(
    translator: Path, translate: Translate, tmp_path: Path, capfd: pytest.CaptureFixture, kind: str
) -> None:
    draw_images(tmp_path / "photos", 2)
    root = tmp_path / "photos" / "001.png" if kind == "file" else tmp_path / "photos"
    assert translate(root) == 2
    error = capfd.readouterr().err
    assert names_all(error, ["--dataroot", root, "testA", "--model", "test"]) and error.count("\n") == 1


def test_a_file_keeps_its_name(translator: Path, translate: Translate, tmp_path: Path) -> None:
    draw_images(tmp_path / "photos", 2)
    if translate(tmp_path / "photos" / "001.png", *ONE) == 0:
        assert [path.name for path in images(tmp_path / "results")] == ["001_fake.png", "001_real.png"]


@pytest.mark.parametrize(("size", "told"), [((42, 27), True), ((40, 28), False)])
def test_resampling_to_multiples_of_four_is_told_once(
    translator: Path,
    translate: Translate,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    size: tuple[int, int],
    told: bool,
) -> None:
    draw_images(tmp_path / "photos", 2, size=size)
    assert translate(tmp_path / "photos", *ONE, "--preprocess", "none") == 0
    assert capsys.readouterr().out.count("42 x 27") == int(told)


def test_running_out_of_memory_advises_what_helps_in_testing(
    translator: Path,
    translate: Translate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("models.test_model.TestModel.forward", fail)
    draw_images(tmp_path / "photos", 1)
    assert translate(tmp_path / "photos", *ONE) == 1
    error = capsys.readouterr().err
    assert names_all(error, ["--load_size", "--preprocess", "--device", "cpu"])
    assert not names_all(error, ["--accumulate"]) and not names_all(error, ["--ngf"])


# ---------------------------------------------------------------------- one folder for each input


def test_results_of_several_inputs_do_not_mix(
    translator: Path, translate: Translate, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    draw_images(tmp_path / "many", 3)
    draw_images(tmp_path / "one", 1, seed=5)
    assert translate(tmp_path / "many", *ONE) == 0
    many = {path.name: path.read_bytes() for path in images(tmp_path / "results")}
    capsys.readouterr()
    assert translate(tmp_path / "one", *ONE) == 0
    folders = tmp_path / "results" / "s2a"
    assert names_all(capsys.readouterr().out, [folders / "test_latest_1"])
    assert {path.name for path in folders.iterdir()} == {"test_latest", "test_latest_1"}
    assert {path.name: path.read_bytes() for path in images(folders / "test_latest_1")} == many
    assert [path.name for path in fakes(folders / "test_latest")] == ["000_fake.png"]


@pytest.mark.parametrize(
    "words", [["--direction", "BtoA"], ["--preprocess", "none"], ["--model_suffix", "_A", "--crop_size", 40]]
)
def test_another_choice_of_what_is_tested_keeps_the_results(
    translator: Path, translate: Translate, tmp_path: Path, words: list[object]
) -> None:
    draw_images(tmp_path / "photos", 1)
    assert translate(tmp_path / "photos", "--model", "test") == 0
    assert translate(tmp_path / "photos", "--model", "test", *words) == 0
    assert (tmp_path / "results" / "s2a" / "test_latest_1").is_dir()


def test_the_same_input_replaces_its_results(
    translator: Path, translate: Translate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, folders = tmp_path / "photos", tmp_path / "results" / "s2a"
    draw_images(photos, 3)
    assert translate(photos, *ONE) == 0
    (photos / "001.png").unlink()
    monkeypatch.chdir(tmp_path)  # another spelling of the same folder
    assert translate(Path("photos"), *ONE) == 0
    assert [path.name for path in folders.iterdir()] == ["test_latest"]
    assert [path.name for path in fakes(folders)] == ["000_fake.png", "002_fake.png"]


def test_a_failure_leaves_the_earlier_results(
    translator: Path, translate: Translate, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photos, folders = tmp_path / "photos", tmp_path / "results" / "s2a"
    draw_images(photos, 3)
    assert translate(photos, *ONE) == 0
    before = {path: path.read_bytes() for path in folders.rglob("*.*")}
    (photos / "001.png").write_bytes(b"no image")
    assert translate(photos, *ONE) == 2
    assert names_all(capsys.readouterr().out, [folders / "test_latest_unfinished"])
    assert {path: path.read_bytes() for path in (folders / "test_latest").rglob("*.*")} == before
    assert len(fakes(folders / "test_latest_unfinished")) == 1
    assert (folders / "test_latest_unfinished" / "index.html").exists()
    draw_images(photos, 3)
    assert translate(photos, *ONE) == 0
    assert [path.name for path in folders.iterdir()] == ["test_latest"]


# ---------------------------------------------------------------------- disks, names, numbers


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder read-only for this process; file permissions do not stop an administrator."""

    def protect(folder: Path) -> None:
        def refuse(path: Any) -> None:
            if isinstance(path, str | os.PathLike) and Path(path).absolute().is_relative_to(folder):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

        def guarded(call: Callable, place: int) -> Callable:
            def checked(*args: Any, **settings: Any) -> Any:
                refuse(args[place])
                return call(*args, **settings)

            return checked

        opened, may = io.open, os.access

        def guarded_open(path: Any, mode: str = "r", *args: Any, **settings: Any) -> Any:
            if set(mode) & set("wax+"):
                refuse(path)
            return opened(path, mode, *args, **settings)

        def access(path: Any, mode: int, **settings: Any) -> bool:
            inside = Path(path).absolute().is_relative_to(folder)
            return may(path, mode, **settings) and not (inside and mode & os.W_OK)

        monkeypatch.setattr("io.open", guarded_open)
        monkeypatch.setattr("builtins.open", guarded_open)
        monkeypatch.setattr(os, "access", access)
        for name, place in (("mkdir", 0), ("replace", 1), ("rename", 1)):
            monkeypatch.setattr(os, name, guarded(getattr(os, name), place))

    return protect


def test_a_run_on_a_read_only_disk_is_tested(
    translator: Path, translate: Translate, read_only: Callable[[Path], None], tmp_path: Path
) -> None:
    draw_images(tmp_path / "photos", 1)
    read_only(translator.parent)
    assert translate(tmp_path / "photos", *ONE) == 0
    assert len(fakes(tmp_path / "results")) == 1
    assert not (translator / "test_opt.txt").exists()


def test_very_long_names_are_shortened_and_stay_apart(
    translator: Path, translate: Translate, tmp_path: Path
) -> None:
    draw_images(tmp_path / "photos", 3)
    for index, name in enumerate(("1" * 250 + "a", "1" * 250 + "b", "ä" * 125)):
        (tmp_path / "photos" / f"00{index}.png").rename(tmp_path / "photos" / f"{name}.png")
    assert translate(tmp_path / "photos", *ONE) == 0
    assert len(fakes(tmp_path / "results")) == 3
    assert (tmp_path / "results" / "s2a" / "test_latest" / "index.html").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_make_no_images(
    translator: Path, translate: Translate, tmp_path: Path, capfd: pytest.CaptureFixture, value: float
) -> None:
    draw_images(tmp_path / "photos", 1)
    path = translator / "latest_net_G_A.pth"
    state = torch.load(path, weights_only=True)
    state[next(iter(state))].view(-1)[0] = value
    torch.save(state, path)
    assert translate(tmp_path / "photos", *ONE) == 2
    assert names_all(capfd.readouterr().err, [path, "--epoch"]) and not images(tmp_path / "results")


def test_images_that_are_not_finite_are_refused(
    translator: Path,
    translate: Translate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """For example with finite weights whose activations overflow."""
    visuals = "models.test_model.TestModel.visuals"
    monkeypatch.setattr(visuals, lambda model: {"fake": torch.full_like(model.real, float("nan"))})
    draw_images(tmp_path / "photos", 1)
    assert translate(tmp_path / "photos", *ONE) == 1
    error = capsys.readouterr().err
    assert names_all(error, ["fake", tmp_path / "photos" / "000.png"]) and not images(tmp_path / "results")
