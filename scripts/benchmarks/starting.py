"""How long train.py takes to answer a question, to finish its imports, and to begin its first step."""

import re
import subprocess
import sys
import time
from pathlib import Path

from scripts.benchmarks.files import write_photos
from scripts.benchmarks.measure import ROOT, Case, Form, Reading, Setting
from util.errors import UserError

# time.monotonic() is the same clock in all processes of a machine
REPORT = "print('benchmark: ready at', time.monotonic(), flush=True), sys.exit()"
# train.py up to the first call after the imports of its main()
IMPORTED = f"""import sys, time, data
data.create_dataset = lambda opt: (__import__("data.loader"), {REPORT})
import train; train.main()"""
FIRST_STEP = f"""import sys, time
from models.base_model import BaseModel
BaseModel.optimize_parameters = lambda model, batch: ({REPORT})
import train; train.main()"""
# what upstream's train.py imports, and the plugins that it loads while it parses
PEER_IMPORTED = f"""import options.train_options, util.visualizer, data.unaligned_dataset, models.cycle_gan_model, sys, time
{REPORT}"""


def question(setting: Setting, *words: str) -> Case:
    """train.py with flags that make it print something and exit."""
    return _start(setting, ["train.py", *words], ["train.py", *words])


def imports(setting: Setting) -> Case:
    flags = f"--model cycle_gan --dataroot {setting.folder} --checkpoints_dir {setting.folder}"
    return _start(setting, ["-c", IMPORTED, *flags.split()], ["-c", PEER_IMPORTED])


def first_step(setting: Setting) -> Case:
    """From launch until the first step of a CycleGAN of full size has its batch."""
    write_photos(setting.folder / "data", count=8)
    flags = f"--model cycle_gan --dataroot {setting.folder}/data --checkpoints_dir {setting.folder}"
    flags += f" --display console --device {setting.device}"
    return _start(setting, ["-c", FIRST_STEP, *flags.split(), *setting.flags, *setting.fast_flags], [])


def _start(setting: Setting, command: list[str], peer_command: list[str]) -> Case:
    """Compare with the peer's program, or without a peer with `import torch`."""
    torch_only = ["-c", f"import sys, time, torch; {REPORT}"]
    baseline = program(peer_command, setting.peer.path) if setting.peer else program(torch_only, ROOT)
    return Case([program(command, ROOT), baseline], setting.peer.title if setting.peer else "import torch")


def program(words: list[str], folder: Path) -> Form:
    """Runs Python in `folder` and reads the seconds until it executes REPORT, or else until it exits."""

    def run(memory: bool) -> Reading:
        start, command = time.monotonic(), [sys.executable, *words]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        end = time.monotonic()
        if done.returncode:
            reason = "".join(done.stderr.splitlines()[-1:])
            raise UserError(f"a program in {folder} failed with exit code {done.returncode}: {reason}")
        ready = re.search(r"^benchmark: ready at (\S+)$", done.stdout, re.MULTILINE)
        return Reading((float(ready[1]) if ready else end) - start)

    return run
