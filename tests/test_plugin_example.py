"""The worked examples of docs/plugins.md, from a folder outside the repository, train, resume and show themselves."""

import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import BARE, ROOT, TINY, draw_images, random_batch
from torch.nn.functional import softplus

from models import create_model

MOST_LINES = {"simgan": 70, "tinted": 30, "relativistic": 40}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    page = (ROOT / "docs" / "plugins.md").read_text()
    codes = re.findall(r"`~/my_models/(\w+)_model\.py`:\n\n```python\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in codes] == list(MOST_LINES)
    (tmp_path / "mine").mkdir()
    for name, code in codes:
        assert code.count("\n") <= MOST_LINES[name]
        (tmp_path / "mine" / f"{name}_model.py").write_text(code)
    return tmp_path / "mine"


def test_the_example_trains_resumes_and_makes_pages(
    run_script: Callable[..., int],
    folder: Path,
    unpaired: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    where = ("--checkpoints_dir", tmp_path / "runs", "--name", "r")
    words = [
        "--plugin_path",
        folder,
        "--model",
        "simgan",
        "--dataroot",
        unpaired,
        *where,
        *TINY,
        "--batch_size",
        2,
    ]
    words += ["--ema_decay", 0.9, "--amp", "bf16", "--print_freq", 2, "--display_freq", 2]
    assert run_script("train.py", *words, "--n_epochs", 1, "--n_epochs_decay", 0) == 0
    assert run_script("train.py", "--continue_train", *where, "--n_epochs_decay", 1) == 0
    assert "going on at epoch 2, after 6 images" in capsys.readouterr().out
    run = tmp_path / "runs" / "r"
    assert torch.load(run / "latest_state.pt", weights_only=True)["parts"]["clock"]["images"] == 12
    assert "R_self" in (run / "loss_log.txt").read_text()
    assert "fake_B" in (run / "web" / "index.html").read_text()
    assert run_script("test.py", "--dataroot", unpaired, *where, "--results_dir", tmp_path / "results") == 0
    assert "latest_net_R_ema.pth" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "results" / "r" / "test_latest" / "images").iterdir())
    assert made[:3] == ["000_fake_B.png", "000_real_A.png", "000_real_B.png"] and len(made) == 9


def test_its_flag_is_in_the_help(
    run_script: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_script("train.py", "--plugin_path", folder, "--model", "simgan", "--help") == 0
    assert "--lambda_self" in capsys.readouterr().out
    assert run_script("train.py", "--plugin_path", folder, "--list_models") == 0
    assert {"simgan", "relativistic"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}


@pytest.mark.parametrize("classes", [(), ("ash", "oak")])
def test_the_example_from_noise_trains_resumes_and_makes_images_without_data(
    run_script: Callable[..., int],
    folder: Path,
    classes: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    for seed, name in enumerate(classes or ("",)):
        draw_images(tmp_path / "data" / name, 8, seed=seed)
    where = ("--checkpoints_dir", tmp_path / "runs", "--name", "r")
    words = [
        "--plugin_path",
        folder,
        "--model",
        "relativistic",
        "--dataroot",
        tmp_path / "data",
        *where,
        *BARE,
    ]
    words += ["--dataset_mode", "labeled" if classes else "folder", "--batch_size", 4, "--r1_gamma", 1]
    words += ["--print_freq", 4, "--display_freq", 8, "--ema_decay", 0.9]
    images = 8 * max(1, len(classes))
    assert run_script("train.py", *words, "--n_epochs", 1) == 0
    assert run_script("train.py", "--continue_train", *where, "--n_epochs", 2) == 0
    assert f"going on at epoch 2, after {images} images" in capsys.readouterr().out
    run = tmp_path / "runs" / "r"
    assert torch.load(run / "latest_state.pt", weights_only=True)["parts"]["clock"]["images"] == 2 * images
    lines = (run / "loss_log.txt").read_text()
    assert all(f"{term}: " in lines for term in ("D_pair", "G_pair", "D_r1"))
    assert "samples" in (run / "web" / "index.html").read_text()
    results = ("--results_dir", tmp_path / "results")
    assert run_script("test.py", *where, *results, "--num_test", 3) == 0
    assert "latest_net_G_ema.pth" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "results" / "r" / "test_latest" / "images").iterdir())
    endings = [f"_class{index % len(classes):02d}" if classes else "" for index in range(3)]
    assert made == [f"seed{index:06d}{ending}_fake.png" for index, ending in enumerate(endings)]


def test_the_relativistic_losses_are_those_of_differences(
    train_opt: Callable[..., Namespace], folder: Path
) -> None:
    words = ("--plugin_path", folder, "--model", "relativistic", "--netG", "dcgan")
    model = create_model(train_opt(*words))
    real, model.fake = (random_batch("latent", seed=seed)["image"] for seed in (0, 1))
    model.set_input({"image": real})
    difference = model.D(real) - model.D(model.fake)
    assert torch.allclose(model.phases[0].terms()["D_pair"], softplus(-difference).mean())
    assert torch.allclose(model.terms_G()["G_pair"], softplus(difference).mean())
