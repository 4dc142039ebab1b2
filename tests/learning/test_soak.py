"""Runs that are killed again and again, at random moments, end bit-equal to runs that nobody interrupts.

To run only this: python -m pytest -m learning -s -k test_killed. It stops after KILLS kills, or after half an hour;
SOAK_SECONDS=300 makes it shorter.
"""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from conftest import ROOT, small_nets
from test_contract import assert_same_state

pytestmark = pytest.mark.learning

KILLS, KILLS_PER_CHAIN = 100, 10
SECONDS = float(os.environ.get("SOAK_SECONDS", "1740"))
LONGEST_S = 300  # for one process
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
FLAGS = """
--batch_size 2 --n_epochs 8 --n_epochs_decay 8 --print_freq 2 --display_freq 4 --update_html_freq 4
--save_latest_freq 4 --save_epoch_freq 3 --display console,loss_log,jsonl,html
""".split()
# name of a chain -> the model, its data, and the flags that it varies
CHAINS = {
    "cycle_gan": "cycle_gan unpaired --pool_size 4 --num_threads 2",
    "cycle_gan_attn": "cycle_gan_attn unpaired --pool_size 3 --ema_decay 0.9",
    "pix2pix": "pix2pix paired --accumulate 2 --save_by_iter --save_states",
    "colorization": "colorization paired --num_threads 1 --keep_last 2",
    "dcgan": "dcgan unpaired/trainA --ema_decay 0.9 --num_threads 2 --cache disk",
    "cgan": "cgan classes --dataset_mode labeled --save_by_iter",
    "sagan": "sagan unpaired/trainA --accumulate 2 --n_critic 2",
    "biggan": "biggan classes --dataset_mode labeled --ema_decay 0.9 --num_threads 1",
    "two ranks": "cycle_gan unpaired --pool_size 4 --batch_size 1",
    "two ranks, workers": "dcgan unpaired/trainA --batch_size 1 --ema_decay 0.9 --num_threads 1 --save_by_iter",
}


@dataclass
class Chain:
    """A run `r` in a folder of its own."""

    name: str
    data: Path
    runs: Path
    kills: Counter[str] = field(default_factory=Counter)

    def command(self) -> list[str]:
        """Start the run, or resume it if it has saved its state."""
        model, place, *varied = CHAINS[self.name].split()
        words = ["--name", "r", "--checkpoints_dir", str(self.runs)]
        if (self.runs / "r" / "latest_state.pt").exists():
            words.append("--continue_train")
        else:
            words += ["--model", model, "--dataroot", str(self.data / place)]
            words += [*small_nets(["--model", model]), *FLAGS, *varied]
        if not self.name.startswith("two ranks"):
            return [sys.executable, "train.py", *words]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
        return [sys.executable, *launcher, "train.py", *words]

    def start(self) -> subprocess.Popen:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(self.runs.parent / "cache")}
        self.runs.mkdir(parents=True, exist_ok=True)
        with self.output.open("w") as output:
            return subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=listen_to_hang_ups,
            )

    @property
    def output(self) -> Path:
        return self.runs.parent / f"{self.runs.name}.txt"

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def finish(self) -> tuple[float, float]:
        """Run to the end; return the seconds to the first loss line, and to the end."""
        began, process = time.monotonic(), self.start()
        wait_for_a_line(self, process)
        first = time.monotonic() - began
        assert process.wait(LONGEST_S) == 0, self.text()
        return first, time.monotonic() - began

    def interrupt(self, rng: random.Random, first_s: float, all_s: float) -> bool:
        """Start a process and end it by a random signal at a random moment; return whether it was still at work."""
        process, sent = self.start(), rng.choice(SIGNALS)
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0, first_s))  # it imports, loads, or begins
        else:
            wait_for_a_line(self, process)
            time.sleep(rng.uniform(0, 0.4 * (all_s - first_s)))
        if process.poll() is None:
            if sent == signal.SIGKILL:
                os.killpg(process.pid, sent)
                for rank in processes_of(self.runs):  # torchrun gives each rank a process group of its own
                    with suppress(ProcessLookupError):
                        os.kill(rank, sent)
            else:
                process.send_signal(sent)
        code = process.wait(LONGEST_S)
        killed = code != 0
        if killed:
            assert code in (-sent, 128 + sent) or "two ranks" in self.name, (sent, self.text())
            self.kills[sent.name] += 1
        return killed


def listen_to_hang_ups() -> None:
    """Undo nohup, under which these tests may run."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def wait_for_a_line(chain: Chain, process: subprocess.Popen) -> None:
    """Return when the process has reported a loss, or has ended."""
    end = time.monotonic() + LONGEST_S
    while process.poll() is None and "(epoch: " not in chain.text():
        assert time.monotonic() < end, chain.text()
        time.sleep(0.02)


def losses(folder: Path) -> list[tuple]:
    records = map(json.loads, (folder / "losses.jsonl").read_text().splitlines())
    return [(record["images"], record["losses"]) for record in records]


def assert_same_end(reference: Path, folder: Path) -> None:
    names = sorted(path.name for path in reference.glob("*.pt*"))
    assert sorted(path.name for path in folder.glob("*.pt*")) == names and len(names) > 2
    for name in names:
        assert_same_state(*(torch.load(run / name, weights_only=True) for run in (folder, reference)))
    assert losses(folder) == losses(reference)


def processes_of(runs: Path) -> list[int]:
    """The processes with this folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(runs).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def assert_no_leftovers(runs: Path) -> None:
    """No drafts, no locks, and no processes; data workers notice within seconds that their parent is gone."""
    assert not (hidden := list(runs.rglob(".*"))), hidden
    end = time.monotonic() + 60
    while processes := processes_of(runs):
        assert time.monotonic() < end, processes
        time.sleep(0.2)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed from /proc")
def test_killed_runs_end_like_uninterrupted_ones(unpaired: Path, paired: Path, tmp_path: Path) -> None:
    data, end = tmp_path / "data", time.monotonic() + SECONDS
    data.mkdir()
    for source in (unpaired, paired):
        (data / source.name.rstrip("0123456789")).symlink_to(source)
    (data / "classes").mkdir()
    for name in ("trainA", "trainB", "testA"):  # as many classes as small_nets() chooses
        (data / "classes" / name).symlink_to(unpaired / name)
    references: dict[str, tuple[Chain, float, float]] = {}
    kills: Counter[str] = Counter()
    chains = 0
    for number, name in enumerate(itertools.cycle(CHAINS)):
        if kills.total() >= KILLS or (time.monotonic() > end and number):
            break
        if name not in references:
            reference = Chain(name, data, tmp_path / f"{number}_reference")
            references[name] = (reference, *reference.finish())
        reference, first_s, all_s = references[name]
        chain, rng = Chain(name, data, tmp_path / f"{number}_chain"), random.Random(number)
        while chain.kills.total() < KILLS_PER_CHAIN and time.monotonic() < end:
            if not chain.interrupt(rng, first_s, all_s):
                break
        chain.finish()
        assert_same_end(reference.runs / "r", chain.runs / "r")
        assert_no_leftovers(chain.runs)
        kills += chain.kills
        chains += 1
        print(f"  {name}: {dict(chain.kills)}", flush=True)
    assert kills.total() > 0
    print(
        f"  {chains} chains over {len(references)} kinds of runs, {kills.total()} kills: {dict(kills)}; all bit-equal"
    )
