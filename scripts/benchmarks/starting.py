"""From the shell to an answer: train.py's questions, the end of its imports, its first step."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmarks.gauge import Reading
from scripts.benchmarks.measure import Case, Form
from scripts.benchmarks.peers import Peer
from scripts.benchmarks.photos import write_photos
from scripts.benchmarks.setting import ROOT, Make, Setting
from util.errors import UserError

READY = "benchmark: ready"
TELL = f"print({READY!r}, flush=True); sys.exit()"
BARE = ["-c", f"import sys, torch; {TELL}"]

# train.py up to its first call behind the imports of its main()
IMPORTED = f"""
import sys, data
def ready(opt):
    import data.loader
    {TELL}
data.create_dataset = ready
import train
train.main()
"""
FIRST_STEP = f"""
import sys
from models.base_model import BaseModel
def ready(model, batch):
    {TELL}
BaseModel.optimize_parameters = ready
import train
train.main()
"""
# what the CycleGAN-and-pix2pix repository's train.py imports, and the plugins that it loads while it parses
PEER_IMPORTED = f"""
import sys
from options.train_options import TrainOptions
from data import create_dataset
from models import create_model
from util.visualizer import Visualizer
import data.unaligned_dataset, models.cycle_gan_model
{TELL}
"""


def question_case(*words: str) -> Make:
    """train.py asked something, until it has left."""

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        yield _beside(setting.peer, program(["train.py", *words], ROOT), ["train.py", *words])

    return make


@contextmanager
def imports_case(setting: Setting) -> Iterator[Case]:
    """From launch to the end of train.py's imports."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--model", "cycle_gan", "--dataroot", folder, "--checkpoints_dir", folder]
        yield _beside(setting.peer, program(["-c", IMPORTED, *words], ROOT), ["-c", PEER_IMPORTED])


@contextmanager
def first_step_case(setting: Setting) -> Iterator[Case]:
    """From launch until the first step of a CycleGAN of full size could begin, its batch read."""
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder, "data"), count=8, side=256)
        words = f"--model cycle_gan --dataroot {folder}/data --checkpoints_dir {folder} --display console"
        command = ["-c", FIRST_STEP, *words.split(), "--device", setting.device]
        command += [*setting.flags, *setting.fast_flags]
        yield Case(program(command, ROOT), program(BARE, ROOT), "import torch")


def _beside(peer: Peer | None, ours: Form, words: Sequence[str]) -> Case:
    if peer is None:
        return Case(ours, program(BARE, ROOT), "import torch")
    return Case(ours, program(words, peer.path), peer.title)


def program(words: Sequence[str], folder: Path) -> Form:
    """A form that runs Python in a folder, and reads the seconds until it says READY or has nothing more to say."""

    def run(memory: bool) -> Reading:
        with tempfile.TemporaryFile("w+") as errors:
            start = time.perf_counter()
            with subprocess.Popen(
                [sys.executable, *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as child:
                assert child.stdout is not None
                any(READY in line for line in child.stdout)  # reads up to there
                seconds = time.perf_counter() - start
                child.stdout.read()
            errors.seek(0)
            _check(child.returncode, words, folder, errors.read())
        return Reading(seconds)

    return run


def _check(code: int, words: Sequence[str], folder: Path, said: str) -> None:
    if code:
        last = " ".join(said.strip().splitlines()[-1:]) or f"exit code {code}"
        what = "its imports" if words[0] == "-c" else " ".join(words)
        raise UserError(f"{folder}: {what} failed: {last}")
