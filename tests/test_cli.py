"""train.py and test.py as a person uses them: the classic commands, names of results, directions."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, draw_images
from PIL import Image

Run = Callable[..., int]
ONCE = ["--n_epochs", 1, "--n_epochs_decay", 0, "--display", "console,loss_log"]


def trained(run_script: Run, model: str, data: Path, runs: Path, *words: object) -> None:
    common = ["--model", model, "--dataroot", data, "--checkpoints_dir", runs, "--name", "r", *TINY, *ONCE]
    assert run_script("train.py", *common, *words) == 0


def made(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


@pytest.fixture(scope="module")
def cycle_gan_run(unpaired: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny trained CycleGAN."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        import sys

        from conftest import load_script

        words = [
            "--model",
            "cycle_gan",
            "--dataroot",
            unpaired,
            "--checkpoints_dir",
            runs,
            "--name",
            "r",
            *TINY,
            *ONCE,
        ]
        patch.setattr(sys, "argv", ["train.py", *map(str, words)])
        assert load_script("train.py").main() == 0
    return runs


def test_results_are_named_after_their_source_and_counted(
    run_script: Run, unpaired: Path, cycle_gan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = [
        "--dataroot",
        unpaired,
        "--checkpoints_dir",
        cycle_gan_run,
        "--name",
        "r",
        "--results_dir",
        tmp_path,
    ]
    assert run_script("test.py", *words, "--num_test", 2) == 0
    assert "2 of 3; --num_test all makes all images" in capsys.readouterr().out
    labels = ("fake_A", "fake_B", "real_A", "real_B", "rec_A", "rec_B")
    images = tmp_path / "r" / "test_latest" / "images"
    assert made(images) == sorted(f"{stem}_{label}.png" for stem in ("000", "001") for label in labels)
    assert (tmp_path / "r" / "test_latest" / "index.html").exists()
    assert (cycle_gan_run / "r" / "test_opt.txt").exists()


def test_one_label_can_be_saved_alone(
    run_script: Run, unpaired: Path, cycle_gan_run: Path, tmp_path: Path
) -> None:
    words = [
        "--dataroot",
        unpaired,
        "--checkpoints_dir",
        cycle_gan_run,
        "--name",
        "r",
        "--results_dir",
        tmp_path,
    ]
    assert run_script("test.py", *words, "--save_only", "fake_B", "--epoch", 1, "--num_test", "all") == 0
    assert made(tmp_path / "r" / "test_1" / "images") == [
        "000_fake_B.png",
        "001_fake_B.png",
        "002_fake_B.png",
    ]


def test_the_test_plugin_takes_images_of_mixed_sizes(
    run_script: Run, cycle_gan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The classic command for a pretrained model; sub-folders and equal stems keep their names apart."""
    photos = tmp_path / "photos"
    draw_images(photos, 1, size=(50, 30))
    draw_images(photos / "more", 1, size=(33, 61))
    Image.open(photos / "000.png").convert("L").save(photos / "000.jpg")
    words = [
        "--dataroot",
        photos,
        "--checkpoints_dir",
        cycle_gan_run,
        "--name",
        "r",
        "--results_dir",
        tmp_path,
    ]
    words += ["--model", "test", "--model_suffix", "_B", "--no_dropout"]
    assert run_script("test.py", *words) == 0
    assert "loaded" in capsys.readouterr().out
    images = tmp_path / "r" / "test_latest" / "images"
    assert made(images) == [
        *("000_2_fake.png", "000_2_real.png", "000_fake.png", "000_real.png"),
        *("more/000_fake.png", "more/000_real.png"),
    ]
    assert Image.open(images / "more" / "000_fake.png").size == (32, 32)
    assert run_script("test.py", *words, "--preprocess", "none") == 0
    assert Image.open(images / "more" / "000_fake.png").size == (32, 60)


def test_the_test_plugin_takes_a_generator_with_attention(
    run_script: Run, unpaired: Path, tmp_path: Path
) -> None:
    trained(run_script, "cycle_gan_attn", unpaired, tmp_path, "--attn_form", "plain", "--attn_G_pos", "mid")
    words = ["--checkpoints_dir", tmp_path, "--name", "r", "--results_dir", tmp_path]
    one = ["--model", "test", "--model_suffix", "_A", "--dataroot", unpaired / "testA"]
    assert run_script("test.py", *words, *one, "--phase", "one") == 0
    assert run_script("test.py", *words, "--dataroot", unpaired) == 0
    alone = Image.open(tmp_path / "r" / "one_latest" / "images" / "000_fake.png")
    assert (
        alone.tobytes() == Image.open(tmp_path / "r" / "test_latest" / "images" / "000_fake_B.png").tobytes()
    )


def test_training_follows_the_direction_and_the_iterations(
    run_script: Run, paired: Path, tmp_path: Path
) -> None:
    words = ["--direction", "BtoA", "--netG", "resnet_6blocks", "--save_by_iter", "--save_latest_freq", 2]
    trained(run_script, "pix2pix", paired, tmp_path, *words)
    names = {path.name for path in (tmp_path / "r").glob("*.pth")}
    assert names == {
        f"{prefix}_net_{net}.pth" for prefix in ("iter_2", "iter_4", "latest", "1") for net in ("G", "D")
    }
    words = ["--dataroot", paired, "--checkpoints_dir", tmp_path, "--name", "r", "--results_dir", tmp_path]
    assert run_script("test.py", *words, "--load_iter", 2, "--num_test", 1) == 0
    images = tmp_path / "r" / "test_latest_iter2" / "images"
    source = Image.open(next((paired / "test").glob("*.png")))
    right = source.crop((40, 0, 80, 40)).resize((32, 32), Image.Resampling.BICUBIC)
    shown = Image.open(images / "000_real_A.png")
    assert max(abs(a - b) for a, b in zip(right.tobytes(), shown.tobytes(), strict=True)) <= 1


def test_colorization_shows_colours(run_script: Run, unpaired: Path, tmp_path: Path) -> None:
    trained(run_script, "colorization", unpaired, tmp_path, "--phase", "trainA")
    words = ["--dataroot", unpaired, "--phase", "testA", "--checkpoints_dir", tmp_path, "--name", "r"]
    assert run_script("test.py", *words, "--results_dir", tmp_path, "--num_test", 1, "--eval") == 0
    images = tmp_path / "r" / "testA_latest" / "images"
    assert made(images) == ["000_fake_B_rgb.png", "000_real_A.png", "000_real_B_rgb.png"]
    assert Image.open(images / "000_real_B_rgb.png").mode == "RGB"


def test_weights_of_the_classic_repository_are_gone_on_with(
    run_script: Run, unpaired: Path, cycle_gan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A folder with *_net_*.pth files alone: weights are taken, the rest starts anew, and that is said."""
    (tmp_path / "r").mkdir()
    for path in (cycle_gan_run / "r").glob("latest_net_*.pth"):
        state = torch.load(path, weights_only=True)
        torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "r" / path.name)
    words = [
        "--model",
        "cycle_gan",
        "--dataroot",
        unpaired,
        "--checkpoints_dir",
        tmp_path,
        "--name",
        "r",
        *TINY,
    ]
    words += [
        "--continue_train",
        "--epoch_count",
        3,
        "--n_epochs",
        3,
        "--n_epochs_decay",
        0,
        "--display",
        "console",
    ]
    assert run_script("train.py", *words) == 0
    told = capsys.readouterr()
    assert "--epoch_count" in told.err and "(epoch: 3" not in told.out
    assert "end of epoch 3 / 3" in told.out


def test_the_plateau_policy_hears_the_losses(run_script: Run, unpaired: Path, tmp_path: Path) -> None:
    trained(run_script, "cycle_gan", unpaired, tmp_path, "--lr_policy", "plateau")
    state = torch.load(tmp_path / "r" / "latest_state.pt", weights_only=True)
    assert 0 < state["parts"]["schedule"]["best"] < 100


def test_a_finished_run_says_so_and_trains_longer_on_request(
    run_script: Run, unpaired: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    trained(run_script, "cycle_gan", unpaired, tmp_path)
    go_on = ["--continue_train", "--checkpoints_dir", tmp_path, "--name", "r"]
    before = (tmp_path / "r" / "latest_net_G_A.pth").read_bytes()
    assert run_script("train.py", *go_on) == 0
    assert (tmp_path / "r" / "latest_net_G_A.pth").read_bytes() == before
    assert run_script("train.py", *go_on, "--n_epochs", 2) == 0
    assert "end of epoch 2 / 2" in capsys.readouterr().out
