"""train.py and test.py on the command line: upstream's commands, names of results, directions."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ONCE, TINY, draw_images, names_all
from PIL import Image

Run = Callable[..., int]
Trained = Callable[[str], Path]


def train(model: str, data: Path, runs: Path, run_script: Run, *words: object) -> None:
    place = ["--dataroot", data, "--checkpoints_dir", runs, "--name", "r"]
    assert run_script("train.py", "--model", model, *place, *TINY, *ONCE, *words) == 0


def png_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


@pytest.fixture
def make_results(run_script: Run, tmp_path: Path) -> Callable[..., Path]:
    """Run test.py with the run `r` of a folder; the folder of its results."""

    def make(runs: Path, data: Path, *words: object) -> Path:
        results = tmp_path / "results"
        place = ["--dataroot", data, "--checkpoints_dir", runs, "--name", "r", "--results_dir", results]
        assert run_script("test.py", *place, *words) == 0
        return results / "r"

    return make


def test_results_are_named_after_their_source_and_counted(
    make_results: Run, unpaired: Path, trained: Trained, capsys: pytest.CaptureFixture
) -> None:
    results = make_results(trained("cycle_gan"), unpaired, "--num_test", 2) / "test_latest"
    assert names_all(capsys.readouterr().out, ("2 images of 3", "--num_test all", results / "index.html"))
    labels = ("fake_A", "fake_B", "real_A", "real_B", "rec_A", "rec_B")
    assert png_files(results / "images") == sorted(
        f"{stem}_{label}.png" for stem in ("000", "001") for label in labels
    )
    assert (results / "index.html").exists()
    assert (trained("cycle_gan") / "r" / "test_opt.txt").exists()


def test_one_label_of_one_epoch_can_be_saved(make_results: Run, unpaired: Path, trained: Trained) -> None:
    words = ["--save_only", "fake_B", "--epoch", 1, "--num_test", "all"]
    results = make_results(trained("cycle_gan"), unpaired, *words)
    assert png_files(results / "test_1" / "images") == [f"00{index}_fake_B.png" for index in range(3)]


def test_the_test_model_accepts_images_of_mixed_sizes(
    make_results: Run, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Upstream's command for a pretrained model; files of equal stem or in sub-folders keep distinct names."""
    photos = tmp_path / "photos"
    draw_images(photos, 1, size=(50, 30))
    draw_images(photos / "more", 1, size=(33, 61))
    Image.open(photos / "000.png").convert("L").save(photos / "000.jpg")
    words = ["--model", "test", "--model_suffix", "_B", "--no_dropout"]
    images = make_results(trained("cycle_gan"), photos, *words) / "test_latest" / "images"
    assert "latest_net_G_B.pth" in capsys.readouterr().out
    assert png_files(images) == [
        *("000_2_fake.png", "000_2_real.png", "000_fake.png", "000_real.png"),
        *("more/000_fake.png", "more/000_real.png"),
    ]
    assert Image.open(images / "more" / "000_fake.png").size == (32, 32)
    make_results(trained("cycle_gan"), photos, *words, "--preprocess", "none")
    assert Image.open(images / "more" / "000_fake.png").size == (32, 60)


def test_the_test_model_accepts_a_generator_with_attention(
    run_script: Run, make_results: Run, unpaired: Path, tmp_path: Path
) -> None:
    attention = ["--attn_form", "plain", "--attn_G_pos", "mid"]
    train("cycle_gan_attn", unpaired, tmp_path, run_script, *attention)
    one = ["--model", "test", "--model_suffix", "_A", "--phase", "one"]
    alone = make_results(tmp_path, unpaired / "testA", *one) / "one_latest" / "images" / "000_fake.png"
    whole = make_results(tmp_path, unpaired) / "test_latest" / "images" / "000_fake_B.png"
    assert Image.open(alone).tobytes() == Image.open(whole).tobytes()


def test_training_obeys_direction_and_save_by_iter(
    run_script: Run, make_results: Run, paired: Path, tmp_path: Path
) -> None:
    words = ["--direction", "BtoA", "--save_by_iter", "--save_latest_freq", 2]
    train("pix2pix", paired, tmp_path, run_script, *words)
    names = {path.name for path in (tmp_path / "r").glob("*.pth")}
    prefixes = ("iter_2", "iter_4", "latest", "1")
    assert names == {f"{prefix}_net_{net}.pth" for prefix in prefixes for net in ("G", "D")}
    results = make_results(tmp_path, paired, "--load_iter", 2, "--num_test", 1)
    source = Image.open(next((paired / "test").glob("*.png")))
    right = source.crop((40, 0, 80, 40)).resize((32, 32), Image.Resampling.BICUBIC)
    shown = Image.open(results / "test_latest_iter2" / "images" / "000_real_A.png")
    assert max(abs(a - b) for a, b in zip(right.tobytes(), shown.tobytes(), strict=True)) <= 1


def test_colorization_makes_colour_images(
    run_script: Run, make_results: Run, unpaired: Path, tmp_path: Path
) -> None:
    train("colorization", unpaired, tmp_path, run_script, "--phase", "trainA")
    images = make_results(tmp_path, unpaired, "--phase", "testA", "--num_test", 1, "--eval")
    images = images / "testA_latest" / "images"
    assert png_files(images) == ["000_fake_B_rgb.png", "000_real_A.png", "000_real_B_rgb.png"]
    assert Image.open(images / "000_real_B_rgb.png").mode == "RGB"


def test_training_continues_from_the_weights_of_upstream(
    run_script: Run, unpaired: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Without latest_state.pt, training loads the weights and says that everything else starts from the beginning."""
    (tmp_path / "r").mkdir()
    for path in (trained("cycle_gan") / "r").glob("latest_net_*.pth"):
        state = torch.load(path, weights_only=True)
        torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "r" / path.name)
    epochs = ["--continue_train", "--epoch_count", 3, "--n_epochs", 3, "--lr", 1e-30, "--display", "console"]
    train("cycle_gan", unpaired, tmp_path, run_script, *epochs)
    printed = capsys.readouterr()
    assert "latest_net_" in printed.err and "--epoch_count" not in printed.err
    assert "(epoch: 3" in printed.out and "(epoch: 1" not in printed.out
    assert "end of epoch 3 / 3" in printed.out
    kept = torch.load(trained("cycle_gan") / "r" / "latest_net_G_A.pth", weights_only=True)
    again = torch.load(tmp_path / "r" / "latest_net_G_A.pth", weights_only=True)
    assert all(torch.allclose(value, again[key]) for key, value in kept.items())


def test_the_plateau_policy_observes_the_losses(run_script: Run, unpaired: Path, tmp_path: Path) -> None:
    train("cycle_gan", unpaired, tmp_path, run_script, "--lr_policy", "plateau")
    state = torch.load(tmp_path / "r" / "latest_state.pt", weights_only=True)
    assert 0 < state["parts"]["schedule"]["best"] < 100


def test_a_finished_run_is_unchanged_and_trains_longer_on_request(
    run_script: Run, trained_copy: Trained, capsys: pytest.CaptureFixture
) -> None:
    runs = trained_copy("cycle_gan")
    resume = ["--continue_train", "--checkpoints_dir", runs, "--name", "r"]
    before = (runs / "r" / "latest_net_G_A.pth").read_bytes()
    assert run_script("train.py", *resume) == 0
    assert (runs / "r" / "latest_net_G_A.pth").read_bytes() == before
    assert run_script("train.py", *resume, "--n_epochs", 2) == 0
    assert "end of epoch 2 / 2" in capsys.readouterr().out


def test_an_earlier_run_of_the_name_is_kept(
    run_script: Run, unpaired: Path, trained_copy: Trained, capsys: pytest.CaptureFixture
) -> None:
    runs = trained_copy("cycle_gan")
    before = (runs / "r" / "latest_state.pt").read_bytes()
    train("cycle_gan", unpaired, runs, run_script, "--seed", 5)
    assert (runs / "r_1" / "latest_state.pt").read_bytes() == before
    assert (runs / "r" / "latest_state.pt").read_bytes() != before
    assert str(runs / "r_1") in capsys.readouterr().out
