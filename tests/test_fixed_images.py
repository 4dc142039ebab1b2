"""--fixed_images: the same inputs are shown through the whole run, and training does not notice."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, draw_images, names_all
from PIL import Image

from data.fixed_batch import fixed_batch
from models.base_model import BaseModel

Runner = Callable[..., int]
LABELS = "attn_A attn_B fake_A fake_B idt_A idt_B real_A real_B rec_A rec_B".split()


@pytest.fixture
def train(run_script: Runner, unpaired: Path, tmp_path: Path) -> Callable[..., Path]:
    """Train an attention CycleGAN with pages; its folder."""

    def run(name: str, *words: object) -> Path:
        place = ["--checkpoints_dir", tmp_path / "runs", "--name", name]
        new = [
            "--model",
            "cycle_gan_attn",
            "--dataroot",
            unpaired,
            *TINY,
            "--display_freq",
            2,
            "--display",
            "html",
        ]
        new += ["--n_epochs_decay", 0, "--save_latest_freq", 4, "--print_freq", 2]
        assert run_script("train.py", *([] if "--continue_train" in words else new), *place, *words) == 0
        return tmp_path / "runs" / name

    return run


def fixed_inputs(folder: Path, epoch: int) -> list[bytes]:
    names = [f"epoch{epoch:03d}_fixed_real_{side}.png" for side in "AB"]
    return [Image.open(folder / "web/images" / name).tobytes() for name in names]


def test_training_is_bit_equal_with_and_without_them(train: Callable[..., Path]) -> None:
    shown, bare = (train(f"r{count}", "--n_epochs", 2, "--fixed_images", count) for count in (3, 0))
    states = [torch.load(folder / "latest_state.pt", weights_only=True) for folder in (shown, bare)]
    for key in ("parts", "ranks"):
        torch.testing.assert_close(states[0][key], states[1][key], rtol=0, atol=0)
    for path in bare.glob("web/images/epoch*.png"):  # the images of the current batch
        assert (shown / "web/images" / path.name).read_bytes() == path.read_bytes()
    assert not list(bare.glob("web/images/*fixed*"))


def test_they_are_test_images_and_stay_the_same_when_a_run_resumes(
    train: Callable[..., Path], unpaired: Path
) -> None:
    folder = train("r", "--n_epochs", 2)
    names = {path.name for path in folder.glob("web/images/epoch002_*")}
    assert names == {f"epoch002_{kind}{label}.png" for kind in ("", "fixed_") for label in LABELS}
    first = fixed_inputs(folder, 1)
    train("r", "--continue_train", "--n_epochs", 3)
    assert first == fixed_inputs(folder, 2) == fixed_inputs(folder, 3)
    pictures = [
        Image.open(unpaired / "testA" / f"00{index}.png").resize((32, 32), Image.BICUBIC) for index in (0, 1)
    ]
    sheet = Image.open(folder / "web/images/epoch003_fixed_real_A.png")
    for left, picture in zip((0, 34), pictures, strict=True):
        made = sheet.crop((left, 0, left + 32, 32)).tobytes()
        assert max(abs(a - b) for a, b in zip(made, picture.tobytes(), strict=True)) <= 1


def test_without_a_test_set_they_are_training_images(train_opt: Callable, tmp_path: Path) -> None:
    for seed, side in enumerate("AB"):
        draw_images(tmp_path / f"train{side}", 3, seed=seed)
    opt = train_opt("--model", "cycle_gan", "--fixed_images", 5, dataroot=tmp_path)
    state = torch.get_rng_state()
    batch = fixed_batch(opt)
    assert batch["A_paths"] == [str(tmp_path / "trainA" / f"00{index}.png") for index in range(3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert opt.isTrain and opt.phase == "train"


def test_models_that_start_from_noise_have_their_own(train_opt: Callable, unpaired: Path) -> None:
    assert fixed_batch(train_opt("--model", "dcgan", dataroot=unpaired / "trainA")) == {}


def test_a_model_that_cannot_be_tested_trains_all_the_same(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no test")

    monkeypatch.setattr(BaseModel, "test", fail)
    folder = train("r", "--n_epochs", 1)
    assert capsys.readouterr().err.count("--fixed_images") == 1
    assert (folder / "web/images/epoch001_fake_B.png").exists()
    assert not list(folder.glob("web/images/*fixed*"))


def test_the_page_shows_them_below_the_current_images_with_what_the_maps_mean(
    train: Callable[..., Path],
) -> None:
    folder = train("r", "--n_epochs", 1)
    train("r", "--continue_train", "--n_epochs", 2)
    text = (folder / "web/index.html").read_text()
    sections = text.split("<h2>Epoch ")[1:]
    assert len(sections) == 2 and text.count('class="legend"') == 1
    for section in sections:
        current, fixed = section.split("<h3>")
        for part in (current, fixed):
            captions = [row.split("<")[0] for row in part.split("<figcaption>")[1:11]]
            order = "real_A fake_B rec_A idt_B real_B fake_A rec_B idt_A attn_A attn_B"
            assert captions == order.split()
        assert names_all(fixed, ["gamma_G_A_trunk", "gamma_G_B_trunk"])
