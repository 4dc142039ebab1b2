"""The worked examples of docs/plugins.md train, resume, show their images and honour the shared flags."""

import re
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import BARE, ROOT, TINY, draw_images, random_batch
from gradients import STILL, discriminator_loss, gradient, gradients_of_phases
from torch import Tensor, nn
from torch.nn.functional import softplus

from models import create_model
from models.base_model import BaseModel
from models.networks import gradient_penalty, r1_penalty
from models.training.diffaug import DiffAugment

MOST_LINES = {"simgan": 70, "tinted": 30, "relativistic": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for --plugin_path, with the examples of the page in it."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    codes = re.findall(r"`~/my_models/(\w+)_model\.py`:\n\n```python\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in codes] == list(MOST_LINES)
    plugins = tmp_path_factory.mktemp("plugins")
    for name, code in codes:
        assert code.count("\n") <= MOST_LINES[name]
        (plugins / f"{name}_model.py").write_text(code)
    return plugins


@pytest.fixture
def make(train_opt: Callable[..., Namespace], folder: Path) -> Callable[..., BaseModel]:
    """Build the model of an example, from the same random weights each time."""

    def build(name: str, *words: object) -> BaseModel:
        nets = ("--netG", "dcgan") if name == "relativistic" else ("--no_dropout", "--pool_size", 0)
        torch.manual_seed(0)
        return create_model(train_opt("--plugin_path", folder, "--model", name, *nets, *words))

    return build


def batch_for(name: str) -> dict:
    if name != "relativistic":
        return random_batch("pairs")
    return random_batch("latent") | {"z": torch.randn(4, 100)}


def test_simgan_trains_resumes_and_makes_pages(
    run_script: Callable[..., int],
    folder: Path,
    unpaired: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    where = ("--checkpoints_dir", tmp_path / "runs", "--name", "r")
    words = ["--plugin_path", folder, "--model", "simgan", "--dataroot", unpaired, *where, *TINY]
    words += ["--batch_size", 2, "--ema_decay", 0.9, "--amp", "bf16", "--print_freq", 2, "--display_freq", 2]
    assert run_script("train.py", *words, "--n_epochs", 1, "--n_epochs_decay", 0) == 0
    assert run_script("train.py", "--continue_train", *where, "--n_epochs_decay", 1) == 0
    run = tmp_path / "runs" / "r"
    assert torch.load(run / "latest_state.pt", weights_only=True)["parts"]["clock"]["images"] == 12
    assert "R_self" in (run / "loss_log.txt").read_text()
    assert "fake_B" in (run / "web" / "index.html").read_text()
    capsys.readouterr()
    assert run_script("test.py", "--dataroot", unpaired, *where, "--results_dir", tmp_path / "results") == 0
    assert "latest_net_R_ema.pth" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "results" / "r" / "test_latest" / "images").iterdir())
    assert made[:3] == ["000_fake_B.png", "000_real_A.png", "000_real_B.png"] and len(made) == 9


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
    run = tmp_path / "runs" / "r"
    assert torch.load(run / "latest_state.pt", weights_only=True)["parts"]["clock"]["images"] == 2 * images
    lines = (run / "loss_log.txt").read_text()
    assert all(f"{term}: " in lines for term in ("D_pair", "G_pair", "D_r1"))
    assert "samples" in (run / "web" / "index.html").read_text()
    results = ("--results_dir", tmp_path / "results")
    capsys.readouterr()
    assert run_script("test.py", *where, *results, "--num_test", 3) == 0
    assert "latest_net_G_ema.pth" in capsys.readouterr().out
    made = sorted(path.name for path in (tmp_path / "results" / "r" / "test_latest" / "images").iterdir())
    endings = [f"_class{index % len(classes):02d}" if classes else "" for index in range(3)]
    assert made == [f"seed{index:06d}{ending}_fake.png" for index, ending in enumerate(endings)]


def test_help_and_the_list_of_models_name_the_examples(
    run_script: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_script("train.py", "--plugin_path", folder, "--model", "simgan", "--help") == 0
    assert "--lambda_self" in capsys.readouterr().out
    assert run_script("train.py", "--plugin_path", folder, "--list_models") == 0
    assert set(MOST_LINES) <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}


@pytest.mark.parametrize("name", ["simgan", "relativistic"])
def test_penalties_change_the_gradient_of_the_discriminator(
    make: Callable[..., BaseModel], name: str
) -> None:
    words, batch = ("--r1_every", 1, *STILL), batch_for(name)
    model, penalised = make(name, *words), make(name, *words, "--lambda_gp", 5, "--r1_gamma", 3)
    plain, changed = gradients_of_phases(model, batch), gradients_of_phases(penalised, batch)
    loss = discriminator_loss(model)
    real, fake, label = loss.real()["D"], loss.fake()["D"].detach(), loss.label()
    torch.manual_seed(0)
    penalty = gradient(gradient_penalty(model.D, real, fake, label), model, ["D"])
    r1 = gradient(r1_penalty(model.D, real, label), model, ["D"])
    assert "D_r1" not in plain and penalty.norm() > 0 and r1.norm() > 0
    assert (changed["D"] - plain["D"] - 5 * penalty).norm() < 1e-4 * changed["D"].norm()
    assert (changed["D_r1"] - 3 * r1).norm() < 1e-4 * changed["D_r1"].norm()


class Augmented(nn.Module):
    """D of what DiffAugment makes of an image."""

    def __init__(self, D: nn.Module) -> None:
        super().__init__()
        self.D, self.augment = D, DiffAugment(["color", "translation"])

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.D(*self.augment(self, inputs))


@pytest.mark.parametrize("name", ["simgan", "relativistic"])
def test_diffaug_augments_what_the_discriminator_sees(make: Callable[..., BaseModel], name: str) -> None:
    batch = batch_for(name)
    model, augmented = make(name, *STILL), make(name, *STILL, "--diffaug", "color,translation")
    loss = discriminator_loss(model)
    model.set_input(batch)
    model.forward()
    torch.manual_seed(0)
    terms = loss.adversarial(Augmented(model.D), loss.real()["D"], loss.fake()["D"].detach(), loss.label())
    expected = gradient(sum(terms.values()), model, ["D"])
    plain, changed = (gradients_of_phases(each, batch)["D"] for each in (model, augmented))
    assert (changed - expected).norm() < 1e-4 * expected.norm()
    assert (changed - plain).norm() > 0.1 * expected.norm()


@pytest.mark.parametrize(("name", "averaged"), [("simgan", ["R"]), ("tinted", ["G_A", "G_B"])])
def test_averaged_weights_follow_those_of_the_generators(
    make: Callable[..., BaseModel], name: str, averaged: list[str]
) -> None:
    model = make(name, "--ema_decay", 0.15, "--lr", 0.01)
    assert list(model.ema.shadows) == averaged
    expected = {key: value.clone() for key, value in model.nets[averaged[0]].named_parameters()}
    for decay in (1 / 10, 0.15, 0.15):  # (1 + n) / (10 + n) after n updates, at most --ema_decay
        model.optimize_parameters(batch_for(name))
        for key, value in model.nets[averaged[0]].named_parameters():
            expected[key] = decay * expected[key] + (1 - decay) * value
    shadow = dict(model.ema.shadows[averaged[0]].named_parameters())
    live = dict(model.nets[averaged[0]].named_parameters())
    assert all(torch.allclose(value, expected[key], atol=1e-6) for key, value in shadow.items())
    assert any((value - live[key]).abs().max() > 1e-4 for key, value in shadow.items())


def test_a_subclass_of_cycle_gan_adds_its_loss_to_the_generators(make: Callable[..., BaseModel]) -> None:
    gradients = []
    for weight in (0, 1, 2):
        model = make("tinted", "--lambda_tint", weight, *STILL)
        gradients.append(gradients_of_phases(model, batch_for("tinted"))["G"])
    once, twice = gradients[1] - gradients[0], gradients[2] - gradients[0]
    assert once.norm() > 0 and (twice - 2 * once).norm() < 1e-3 * twice.norm()


def test_the_relativistic_losses_are_those_of_differences(make: Callable[..., BaseModel]) -> None:
    model = make("relativistic")
    real, model.fake = (random_batch("latent", seed=seed)["image"] for seed in (0, 1))
    model.set_input({"image": real})
    difference = model.D(real) - model.D(model.fake)
    assert torch.allclose(discriminator_loss(model).terms()["D_pair"], softplus(-difference).mean())
    assert torch.allclose(model.terms_G()["G_pair"], softplus(difference).mean())


def test_a_plugin_in_models_needs_no_other_edit(folder: Path, tmp_path: Path) -> None:
    """The tests of the layout and of the contract pass in a copy of the repository with one more file."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    copy = tmp_path / "copy"
    for name in filter(str.strip, listed.stdout.splitlines()):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    shutil.copy(folder / "simgan_model.py", copy / "models")
    tests = ["tests/test_layout.py", "tests/test_contract.py", "-k", "test_layout or simgan"]
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 15
