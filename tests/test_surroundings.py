"""A process with little around it: an ASCII terminal, no working folder, few open files, odd names."""

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, TINY, names_all, refused

from options.train_options import TrainOptions
from util import errors, log
from util.errors import RunFault

Runner = Callable[..., int]
NAME = "\N{GREEK SMALL LETTER ALPHA}"
SHORT = ["--n_epochs", "1", "--n_epochs_decay", "0", "--max_dataset_size", "1", "--display", "console"]


def test_a_terminal_with_ascii_alone_shows_any_name(
    run_script: Runner, unpaired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letters that the terminal lacks are escaped; training goes on."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    place = ["--dataroot", unpaired, "--checkpoints_dir", tmp_path]
    assert run_script("train.py", *place, *TINY, *SHORT, "--name", NAME) == 0
    assert (tmp_path / NAME / "latest_state.pt").exists()
    screen.flush()
    assert b"\\u03b1" in screen.buffer.getvalue()  # type: ignore[attr-defined]


def start(words: list[str], before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """train.py as a process of its own, started by a shell after the command `before`."""
    command = shlex.join([sys.executable, str(ROOT / "train.py"), *words])
    return subprocess.run(
        ["sh", "-c", f"{before} && exec {command}"],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_one_sentence(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode in (1, 2), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("error: "), done.stderr


def test_a_working_folder_that_was_removed_is_reported(unpaired: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    words = ["--dataroot", str(unpaired), "--checkpoints_dir", str(tmp_path / "runs"), *TINY, *SHORT]
    assert_one_sentence(start(words, f"mkdir {gone} && cd {gone} && rmdir {gone}"))


def test_too_few_open_files_are_reported(unpaired: Path, tmp_path: Path) -> None:
    words = ["--dataroot", str(unpaired), "--checkpoints_dir", str(tmp_path / "runs"), *TINY, *SHORT]
    done = start([*words, "--num_threads", "2"], f"cd {ROOT} && ulimit -n 24")
    if done.returncode:
        assert_one_sentence(done)
    assert "Traceback" not in done.stderr


def test_a_mistake_in_an_ascii_terminal_is_one_sentence(tmp_path: Path) -> None:
    done = start(["--dataroot", NAME], f"cd {tmp_path}", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert_one_sentence(done)
    assert "\\u03b1" in done.stderr


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "x.png"), OSError(36, "File name too long", "x.png")]
)
def test_what_the_system_refuses_is_one_sentence(error: OSError, capsys: pytest.CaptureFixture) -> None:
    def fail() -> int:
        raise error

    assert errors.run(fail) == RunFault.exit_code
    assert names_all(capsys.readouterr().err, ["x.png", error.strerror])


def test_control_characters_of_files_do_not_reach_the_terminal(capsys: pytest.CaptureFixture) -> None:
    log.info("a\x1b[2Jb\tc\nd\x9b")
    assert capsys.readouterr().out == "a\\x1b[2Jb\tc\nd\\x9b\n"


def test_an_error_in_a_plugin_names_file_and_line(
    run_script: Runner,
    unpaired: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The plugin takes its images as they are and gives the network twice as many channels."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    plugin = tmp_path / "doubled_model.py"
    plugin.write_text(
        "from models.template_model import TemplateModel\n"
        "class DoubledModel(TemplateModel):\n"
        "    def set_input(self, batch):\n"
        "        self.real_A = batch['A'].repeat(1, 2, 1, 1)\n"
        "        self.real_B = batch['B']\n"
        "    def forward(self):\n"
        "        self.fake_B = self.G(self.real_A)\n"
    )
    words = [
        "--plugin_path",
        tmp_path,
        "--model",
        "doubled",
        "--dataset_mode",
        "unaligned",
        "--dataroot",
        unpaired,
    ]
    assert run_script("train.py", *words, "--checkpoints_dir", tmp_path / "runs", *TINY, *SHORT) == 1
    err = capsys.readouterr().err
    assert names_all(err, [f"{plugin}:7"]) and "Traceback" not in err
    monkeypatch.setenv("ZEBRAWOOD_DEBUG", "1")
    with pytest.raises((ValueError, RuntimeError)):
        run_script("train.py", *words, "--checkpoints_dir", tmp_path / "runs", *TINY, *SHORT)
    monkeypatch.delenv("ZEBRAWOOD_DEBUG")
    broken = tmp_path / "broken_model.py"
    broken.write_text("import os\n\nos.nothing\n")
    with refused(f"{broken}:3"):
        TrainOptions().parse(["--dataroot", ".", "--plugin_path", str(tmp_path), "--model", "broken"])
