"""scripts/sample.py with models that start from noise: files, page, seeds, errors."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import names_all, small_nets
from PIL import Image

from data.noise_dataset import NoiseDataset
from models import create_model
from options.sample_options import SampleOptions
from options.train_options import TrainOptions
from util.imaging.sheets import SHEETS

pytest.importorskip("dominate")
Run = Callable[..., int]
MODELS = {"dcgan": "", "cgan": "--n_classes 3 --output_nc 1", "sagan": "--attn_res 8"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each model before its first step."""
    folder = tmp_path_factory.mktemp("runs")
    for name, words in MODELS.items():
        argv = ["--model", name, "--name", name, "--checkpoints_dir", str(folder), "--dataroot", "."]
        options = TrainOptions()
        opt = options.parse([*argv, *small_nets(argv), "--z_dim", "16", "--init_gain", "0.3", *words.split()])
        torch.manual_seed(0)
        model = create_model(opt)
        model.save_networks("latest")
        options.save(opt)
    return folder


@pytest.fixture
def sample(run_script: Run, runs: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make small sheets of a run; -> the folder of the results."""

    def run(name: str, *words: object) -> Path:
        argv = ["--name", name, "--checkpoints_dir", runs, "--results_dir", tmp_path / "results"]
        assert run_script("scripts/sample.py", *argv, "--columns", 3, "--steps", 3, *words) == 0
        return tmp_path / "results" / name / "samples_latest"

    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "images").iterdir()}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_sheets_of_a_model_without_labels(sample, capsys):
    folder = sample("dcgan")
    singles = {f"seed{seed:06d}.png" for seed in range(9)}
    assert names(folder) == singles | {"grid.png", "interpolate_z.png", "truncation.png"}
    assert Image.open(folder / "images" / "grid.png").size == (100, 100)
    text = capsys.readouterr().out
    assert "grid: 9 images" in text and re.search(r"36 images in [\d.]+ s, \d+ per second", text)
    headings = re.findall(r"<h2>(.*?)</h2>", (folder / "index.html").read_text())
    assert headings == ["Samples", "Interpolation in z", "Truncation", "Options"]


def test_sheets_of_a_conditional_model_without_the_flag_labels(sample, runs):
    folder = sample("cgan", "--gif", "--frames", 8)
    sheets = {f"{name}.png" for name in SHEETS if name != "attention"}
    assert names(folder) >= sheets | {"interpolation.gif", "seed000004_class01.png"}
    assert (runs / "cgan" / "samples_opt.txt").is_file()
    rows = pixels(folder / "images" / "interpolate_label.png")
    cut = [slice(0, 32), slice(34, 66), slice(68, 100)]
    classes = pixels(folder / "images" / "classes.png")
    # the ends of an interpolation in the label are the images of the pure classes
    assert abs(rows[cut[0], cut[0]] - classes[cut[0], cut[0]]).max() <= 1
    assert abs(rows[cut[0], cut[2]] - classes[cut[1], cut[0]]).max() <= 1
    assert abs(rows[cut[0], cut[0]] - rows[cut[0], cut[2]]).max() > 1
    with Image.open(folder / "images" / "interpolation.gif") as gif:
        assert gif.n_frames == 8 and gif.size == (100, 32)


def test_the_attention_sheet_shows_each_image_once_per_point(sample):
    points = "0.5,0.5;0.25,0.5;0,0"
    folder = sample("sagan", "--sheets", "attention,grid", "--columns", 6, "--attn_points", points)
    assert names(folder) >= {"attention.png", "grid.png", "seed000035.png"}
    page = (folder / "index.html").read_text()
    assert page.index("Attention") < page.index("Samples")
    # six images in three rows, each image once for each of three points
    attention = pixels(folder / "images" / "attention.png")
    assert attention.shape == (3 * 32 + 2 * 2, 2 * 3 * 32 + 2, 3)
    assert abs(attention[:32, :32] - attention[:32, 96 + 2 : 128 + 2]).max() > 1


@pytest.mark.parametrize("name", ["dcgan", "cgan", "sagan"])
def test_an_image_depends_on_its_seed_and_not_on_the_batch_size(sample, name):
    files = ["grid.png", "truncation.png", "seed000005.png"]
    files[2:] = ["seed000005_class02.png"] if name == "cgan" else files[2:]
    found = {}
    for size in (1, 4):
        folder = sample(name, "--batch_size", size, "--sheets", "grid,truncation", "--standing_stats", 2)
        found[size] = [pixels(folder / "images" / file) for file in files]
    for one, other in zip(found[1], found[4], strict=True):
        assert abs(one - other).max() <= 1
    assert found[1][0].std() > 1
    alone = sample(name, "--seed", 5, "--sheets", "grid", "--columns", 1, "--standing_stats", 2)
    assert abs(pixels(alone / "images" / files[2]) - found[1][2]).max() <= 1


def test_single_images_have_the_names_of_the_noise_data_set(sample, runs):
    given = ["--name", "cgan", "--checkpoints_dir", str(runs), "--labels", "2,0", "--seed", "3"]
    opt = SampleOptions().parse([*given, "--columns", "3"])
    opt.num_test = 9
    data = NoiseDataset(opt)
    wanted = {data[index]["paths"] for index in range(9)}
    assert names(sample("cgan", "--labels", "2,0", "--seed", 3, "--sheets", "grid")) == wanted | {"grid.png"}


def test_strong_truncation_approaches_one_image(sample):
    folder = sample("dcgan", "--sheets", "truncation", "--truncations", "0.0001,inf")
    picture = pixels(folder / "images" / "truncation.png")
    first, second = picture[:32, :32], picture[:32, 34:66]
    assert abs(first - second).max() <= 1
    assert abs(picture[34:, :32] - picture[34:, 34:66]).max() > 1


def test_each_epoch_has_its_own_folder_of_samples(run_script, runs, tmp_path):
    for file in (runs / "dcgan").glob("latest_net_G*.pth"):
        (runs / "dcgan" / file.name.replace("latest", "iter_7")).write_bytes(file.read_bytes())
    words = ["--name", "dcgan", "--checkpoints_dir", runs, "--results_dir", tmp_path, "--columns", 1]
    assert run_script("scripts/sample.py", *words, "--load_iter", 7, "--sheets", "grid") == 0
    assert (tmp_path / "dcgan" / "samples_latest_iter7" / "index.html").is_file()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--name nosuch", "nosuch --name --checkpoints_dir"),
        ("--name dcgan --sheets clases", "clases classes"),
        ("--name dcgan --sheets classes", "--sheets classes"),
        ("--name dcgan --sheets grid,attention", "--sheets attention --name dcgan"),
        ("--name dcgan --labels 1", "--labels 1"),
        ("--name cgan --labels 1,3", "--labels 3 0 2"),
        ("--name cgan --truncations 0.5,0", "--truncations 0"),
        ("--name cgan --truncations ,", "--truncations"),
        ("--name cgan --truncation 0", "--truncation 0"),
        ("--name cgan --steps 1", "--steps 1 2"),
        ("--name cgan --frames 1", "--frames 1 2"),
        ("--name cgan --seed 4294967290", "--seed 4294967295"),
        ("--name cgan --epoch 9", "9_net_G.pth"),
        ("--name cgan --dataset_mode folder", "--dataset_mode folder"),
        ("--name cgan --model cycle_gan", "--model cycle_gan"),
    ],
)
def test_mistakes_are_reported_in_one_sentence_and_write_nothing(
    words, named, run_script, runs, tmp_path, capsys
):
    argv = ["--checkpoints_dir", runs, "--results_dir", tmp_path / "results", *words.split()]
    assert run_script("scripts/sample.py", *argv) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and names_all(lines[0], named.split()), lines
    assert not (tmp_path / "results").exists()


def test_the_help_names_every_sheet(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        SampleOptions().parse(["--help"])
    text = capsys.readouterr().out
    assert [name for name in SHEETS if name not in text] == []


def test_sheets_of_other_seeds_do_not_mix(sample):
    folder = sample("dcgan")
    first = names(folder)
    assert names(sample("dcgan", "--seed", 100)) >= {"seed000100.png"}
    assert not names(folder) & {name for name in first if name.startswith("seed")}
    assert names(folder.with_name(f"{folder.name}_1")) == first
