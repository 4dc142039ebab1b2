"""How long train.py takes to answer a question, to finish its imports, and to begin its first step."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.files import write_photos
from scripts.benchmarks.measure import Case, Form, Reading
from scripts.benchmarks.peers import Peer
from scripts.benchmarks.setting import ROOT, Setting
from util.errors import UserError

# time.monotonic() is the same clock in all processes of a machine
REPORT = "import sys, time; print('benchmark: ready at', time.monotonic(), flush=True); sys.exit()"
IMPORT_TORCH = ["-c", f"import torch; {REPORT}"]
# train.py up to the first call after the imports of its main()
IMPORTED = f"""
import data
def ready(opt):
    import data.loader
    {REPORT}
data.create_dataset = ready
import train
train.main()
"""
FIRST_STEP = f"""
from models.base_model import BaseModel
def ready(model, batch):
    {REPORT}
BaseModel.optimize_parameters = ready
import train
train.main()
"""
# what upstream's train.py imports, and the plugins that it loads while it parses
PEER_IMPORTED = f"""
from options.train_options import TrainOptions
from data import create_dataset
from models import create_model
from util.visualizer import Visualizer
import data.unaligned_dataset, models.cycle_gan_model
{REPORT}
"""


def question_case(words: str, setting: Setting) -> Case:
    """train.py with flags that make it print something and exit."""
    command = ["train.py", *words.split()]
    return _compared(setting.peer, program(command, ROOT), command)


def imports_case(setting: Setting) -> Case:
    words = f"--model cycle_gan --dataroot {setting.folder} --checkpoints_dir {setting.folder}"
    return _compared(setting.peer, program(["-c", IMPORTED, *words.split()], ROOT), ["-c", PEER_IMPORTED])


def first_step_case(setting: Setting) -> Case:
    """From launch until the first step of a CycleGAN of full size has its batch."""
    write_photos(setting.folder / "data", count=8)
    words = f"--model cycle_gan --dataroot {setting.folder}/data --checkpoints_dir {setting.folder}"
    command = [*words.split(), "--display", "console", "--device", setting.device]
    command += [*setting.flags, *setting.fast_flags]
    return _compared(None, program(["-c", FIRST_STEP, *command], ROOT), [])


def _compared(peer: Peer | None, fast: Form, words: Sequence[str]) -> Case:
    """Compare with the peer's program; without a peer, or if its program fails, with `import torch`."""
    note = ""
    if peer:
        baseline = program(words, peer.path)
        try:
            baseline(False)
            return Case(fast, baseline, peer.title)
        except UserError as error:
            note = str(error)
    return Case(fast, program(IMPORT_TORCH, ROOT), "import torch", note=lambda: note)


def program(words: Sequence[str], folder: Path) -> Form:
    """Runs Python in `folder` and reads the seconds until it executes REPORT, or else until it exits."""

    def run(memory: bool) -> Reading:
        start = time.monotonic()
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        end = time.monotonic()
        if done.returncode:
            reason = " ".join(done.stderr.strip().splitlines()[-1:]) or f"exit code {done.returncode}"
            what = "importing its modules" if words[0] == "-c" else " ".join(words)
            raise UserError(f"{folder}: {what} failed: {reason}")
        ready = re.search(r"^benchmark: ready at (\S+)$", done.stdout, re.MULTILINE)
        return Reading((float(ready[1]) if ready else end) - start)

    return run
