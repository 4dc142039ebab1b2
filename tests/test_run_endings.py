"""How a run ends when its data workers die, its folder is removed, or little is left around the process."""

import io
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY, names_all

from util.clock import Clock

WORDS = """
--model dcgan --load_size 36 --crop_size 32 --ngf 8 --ndf 8 --num_threads 0 --batch_size 2 --n_epochs 2
--n_epochs_decay 2 --save_epoch_freq 50 --print_freq 2 --display console,loss_log,jsonl --name r
""".split()
PLUGIN = '''"""Does something when the file `now` appears."""
import os
import shutil
import signal
from pathlib import Path

from data.folder_dataset import FolderDataset


class {title}Dataset(FolderDataset):
    """Reads images until then."""

    cacheable = False

    def read(self, index, rng):
        if Path({now!r}).exists():
            {action}
        return super().read(index, rng)
'''
PLUGIN_NUMBERS = itertools.count()  # a module is imported once


@pytest.fixture
def train_until(
    run_script: Callable[..., int], unpaired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Train on six images; when `epoch` begins, the data set does `action`."""

    def run(action: str, epoch: int, *words: object) -> int:
        now, ended, name = tmp_path / "now", Clock.end_epoch, f"trouble{next(PLUGIN_NUMBERS)}"
        text = PLUGIN.format(now=str(now), action=action, title=name.capitalize())
        (tmp_path / f"{name}_dataset.py").write_text(text)

        def end_epoch(clock: Clock) -> None:
            ended(clock)
            if clock.epoch == epoch:
                now.touch()

        monkeypatch.setattr(Clock, "end_epoch", end_epoch)
        place = ["--checkpoints_dir", tmp_path / "runs", "--dataroot", unpaired / "trainA"]
        code = run_script(
            "train.py", *place, *WORDS, "--plugin_path", tmp_path, "--dataset_mode", name, *words
        )
        monkeypatch.undo()
        now.unlink()
        return code

    return run


@pytest.mark.parametrize(
    ("action", "threads"),
    [("os.kill(os.getpid(), signal.SIGKILL)", 1), ("raise ValueError('broken')", 0)],
    ids=["dying worker", "failing item"],
)
def test_data_that_cannot_be_read_loses_no_steps(
    train_until: Callable[..., int],
    run_script: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    action: str,
    threads: int,
) -> None:
    """No save was due before; the steps until then are saved, as for a signal, and the run can be resumed."""
    wait = torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data
    monkeypatch.setattr(wait, "__defaults__", (0.2,))  # seconds between looks at the workers
    assert train_until(action, 3, "--num_threads", threads) in (1, 2)
    told = capfd.readouterr()
    assert told.err.count("error: ") == 1 and "Traceback" not in told.err
    assert names_all(told.out, ["--continue_train", "--name r"])
    folder = tmp_path / "runs" / "r"
    state = torch.load(folder / "latest_state.pt", weights_only=True)
    assert state["parts"]["clock"]["images"] >= 6
    assert (
        run_script("train.py", "--checkpoints_dir", tmp_path / "runs", "--name", "r", "--continue_train") == 0
    )


@pytest.mark.parametrize(
    "change", ["shutil.rmtree({})", "os.rename({}, {} + '_gone')"], ids=["removed", "renamed"]
)
def test_a_folder_that_is_gone_ends_the_run_with_an_error(
    train_until: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture, change: str
) -> None:
    folder = tmp_path / "runs" / "r"
    action = f"os.path.isdir({str(folder)!r}) and {change.replace('{}', repr(str(folder)))}"
    assert train_until(action, 4) == 1
    told = capfd.readouterr()
    (sentence,) = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert names_all(sentence, [folder]) and "done:" not in told.out


def test_a_terminal_with_ascii_alone_shows_any_name(
    run_script: Callable[..., int], unpaired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letters that the terminal lacks are escaped; training goes on."""
    name, terminal = "\N{GREEK SMALL LETTER ALPHA}", io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    words = [*TINY, "--n_epochs", 1, "--n_epochs_decay", 0, "--max_dataset_size", 1, "--display", "console"]
    place = ["--dataroot", unpaired, "--checkpoints_dir", tmp_path]
    assert run_script("train.py", *place, *words, "--name", name) == 0
    assert (tmp_path / name / "latest_state.pt").exists()
    assert re.search(rb"name: \\u03b1", terminal.buffer.getvalue())


def start(before: str, *words: object) -> subprocess.CompletedProcess[str]:
    """train.py as a process of its own, started by a shell after the command `before`."""
    command = shlex.join(map(str, [sys.executable, ROOT / "train.py", *words]))
    return subprocess.run(
        ["sh", "-c", f"{before} && exec {command}"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_one_sentence(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode in (1, 2), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("error: "), done.stderr


def test_a_working_directory_that_was_removed_is_reported(unpaired: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    place = ["--dataroot", unpaired, "--checkpoints_dir", tmp_path / "runs"]
    assert_one_sentence(start(f"mkdir {gone} && cd {gone} && rmdir {gone}", *place, *TINY, "--n_epochs", 1))


def test_too_few_open_files_for_workers_are_reported(unpaired: Path, tmp_path: Path) -> None:
    place = ["--dataroot", unpaired, "--checkpoints_dir", tmp_path / "runs"]
    words = [*place, *TINY, "--n_epochs", 1, "--n_epochs_decay", 0, "--num_threads", 2]
    done = start(f"cd {ROOT} && ulimit -n 24", *words)
    assert_one_sentence(done)
    assert names_all(done.stderr, ["--num_threads 2", 24])
