"""The worked example of docs/plugins.md, from a folder outside the repository, trains, resumes and shows itself."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "plugins.md").read_text(), re.DOTALL)
    assert code is not None and code[1].count("\n") < 70
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "simgan_model.py").write_text(code[1])
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
    assert "simgan" in capsys.readouterr().out
