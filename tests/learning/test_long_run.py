"""A run of 10,000 steps takes no more memory, and no more time a step, at its end than near its start.

To run only this: python -m pytest -m learning -s -k test_memory. It takes a few minutes.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, draw_images

pytestmark = pytest.mark.learning

STEPS, EARLY = 10_000, 2_000
MOST_MIB = 16  # between the two; a tensor of one 16 x 16 picture kept at every step would take 24
MOST_SLOWER = 1.25  # of the processor's time for as many steps
# everything that could grow happens often; 260 epochs are a little more than STEPS
FLAGS = """
--model one_layer --netD pixel --load_size 20 --crop_size 16 --pool_size 50
--batch_size 1 --num_threads 1 --n_epochs 260 --n_epochs_decay 0 --device cpu --display console,loss_log,jsonl,html
--print_freq 1 --display_freq 20 --update_html_freq 40 --save_latest_freq 50 --save_epoch_freq 50
""".split()
PLUGIN = """
from torch import nn

from models.cycle_gan_model import CycleGANModel


class OneLayerModel(CycleGANModel):
    def generator(self, input_nc: int, output_nc: int) -> nn.Module:
        return nn.Conv2d(input_nc, output_nc, 3, padding=1)

    def discriminator(self, input_nc: int) -> nn.Module:
        return nn.Conv2d(input_nc, 1, 3)
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="memory is read from /proc")


@dataclass(frozen=True)
class Mark:
    """The memory and processor time of a process after a number of steps."""

    steps: int
    resident_mib: float
    processor_s: float


@needs_proc
def test_memory_and_step_time_do_not_grow(tmp_path: Path) -> None:
    for seed, name in enumerate(("trainA", "trainB")):
        draw_images(tmp_path / "data" / name, 40, size=(20, 20), seed=seed)
    marks = train(tmp_path / "data", tmp_path)
    for mark in marks:
        print(
            f"  {mark.steps:>6} steps: {mark.resident_mib:.1f} MiB, {mark.processor_s:.1f} s of the processor"
        )
    early, late = (closest(marks, steps) for steps in (EARLY, STEPS))
    assert late.resident_mib - early.resident_mib < MOST_MIB
    first, last = (seconds_a_step(marks, end - EARLY // 2, end) for end in (EARLY, STEPS))
    print(f"  {1e3 * first:.2f} ms of the processor a step before step {EARLY}, {1e3 * last:.2f} at the end")
    assert last < MOST_SLOWER * first
    index = (tmp_path / "r" / "web" / "index.html").stat().st_size
    assert index < 200_000


def train(data: Path, folder: Path) -> list[Mark]:
    """Run train.py and measure it about every 250 steps."""
    (folder / "one_layer_model.py").write_text(PLUGIN)
    place = {"--plugin_path": folder, "--dataroot": data, "--checkpoints_dir": folder, "--name": "r"}
    words = ["train.py", *(str(word) for pair in place.items() for word in pair), *FLAGS]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    marks: list[Mark] = []
    while process.poll() is None:
        steps = steps_of(folder / "r" / "losses.jsonl")
        if steps // 250 > (marks[-1].steps if marks else 0) // 250:
            marks.append(look_at(process.pid, steps))
        time.sleep(0.1)
    assert process.returncode == 0, (folder / "output.txt").read_text()[-3000:]
    return marks


def steps_of(log: Path) -> int:
    """The steps that a run has logged; a step is one image here."""
    if not log.exists():
        return 0
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().split(b"\n")[1:-1]
    return json.loads(lines[-1])["images"] if lines else 0


def look_at(process: int, steps: int) -> Mark:
    folder = Path("/proc", str(process))
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    ticks = (folder / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
    processor_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return Mark(steps, int(status["VmRSS"].split()[0]) / 1024, processor_s)


def closest(marks: list[Mark], steps: int) -> Mark:
    return min(marks, key=lambda mark: abs(mark.steps - steps))


def seconds_a_step(marks: list[Mark], start: int, end: int) -> float:
    """Processor time of all threads per step between two marks."""
    a, b = closest(marks, start), closest(marks, end)
    return (b.processor_s - a.processor_s) / (b.steps - a.steps)
