"""Time the fast path against the plain one, in turn and in one process, and print a table.

python scripts/benchmark.py [--only cycle_gan_256] [--seconds 60] [--json FILE]

Machines are noisy and shared: read the ratios, which are medians over pairs of neighbouring runs, and not
the seconds.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util import errors, log
from util.arguments import Arguments
from util.errors import UserError
from util.files import write_whole

if TYPE_CHECKING:
    from models.base_model import Batch

ROOT = Path(__file__).resolve().parents[1]
LEAST_ROUNDS = 3
Work = Callable[[], object]  # what is timed
Pair = Callable[[], tuple[Work, Work]]  # makes the fast and the plain one

LATENT = "--dataset_mode folder --preprocess center"
# name -> flags of train.py; square images of --crop_size pixels
STEPS = {
    "cycle_gan_128": "--model cycle_gan --crop_size 128",
    "cycle_gan_256": "--model cycle_gan --crop_size 256",
    "cycle_gan_attn_256": "--model cycle_gan_attn --crop_size 256",
    "pix2pix_256": "--model pix2pix --dataset_mode aligned --crop_size 256",
    "sagan_64": f"--model sagan --crop_size 64 --batch_size 16 {LATENT}",
    "dcgan_64": f"--model dcgan --crop_size 64 --batch_size 16 {LATENT}",
    "biggan_32": f"--model biggan --crop_size 32 --batch_size 8 --n_classes 10 {LATENT}",
}
# name -> channels, side and number of feature maps, forward and backward
ATTENTIONS = {
    "attention_c64_64": (64, 64, 4),
    "attention_c64_128": (64, 128, 1),
    "attention_c256_64": (256, 64, 4),
}


@dataclass(frozen=True)
class Result:
    """Medians: seconds of a run, how many times faster than the baseline, MiB beside what is held between runs."""

    name: str
    rounds: int
    seconds: float
    baseline_seconds: float
    ratio: float
    ratio_low: float  # quartiles over the rounds
    ratio_high: float
    peak_mib: float | None
    baseline_peak_mib: float | None

    def row(self) -> str:
        memory = [
            f"{'-' if mib is None else round(mib):>9}" for mib in (self.peak_mib, self.baseline_peak_mib)
        ]
        times = f"{1e3 * self.seconds:>10.1f} {1e3 * self.baseline_seconds:>10.1f}"
        spread = f"{self.ratio_low:.2f} to {self.ratio_high:.2f}"
        return (
            f"{self.name:<20} {times} {self.ratio:>6.2f} x {spread:>14} {self.rounds:>6} {' '.join(memory)}"
        )


def main() -> int:
    entries = table()
    opt = parse(list(entries))
    import torch

    log.info(f"torch {torch.__version__}, {torch.get_num_threads()} threads, fast against {opt.compare}")
    title = f"{'':<20} {'fast ms':>10} {'plain ms':>10} {'ratio':>8} {'quartiles':>14} {'rounds':>6}"
    log.info(f"{title} {'MiB':>9} {'plain MiB':>9}")
    results = []
    for name in opt.only or entries:
        results.append(measure(name, *entries[name](), budget_s=opt.seconds))
        log.info(results[-1].row())
    if opt.json:
        write_whole(Path(opt.json), json.dumps([asdict(result) for result in results], indent=1).encode())
    return 0


def parse(known: list[str]) -> argparse.Namespace:
    parser = Arguments(
        prog="benchmark.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=", ".join(known))
    parser.add_argument("--compare", choices=("plain",), default="plain", help="plain = --fast off")
    parser.add_argument("--seconds", type=float, default=30.0, help="to spend on each; 3 rounds at least")
    parser.add_argument("--json", metavar="FILE", help="write the results there, too")
    opt = parser.parse_args()
    for name in opt.only:
        if name not in known:
            raise UserError(f"--only {name} is unknown; known: {', '.join(known)}")
    return opt


def table() -> dict[str, Pair]:
    """Name -> what makes its two forms."""
    entries: dict[str, Pair] = {name: step_pair(words) for name, words in STEPS.items()}
    entries |= {name: attention_pair(*size) for name, size in ATTENTIONS.items()}
    return entries | {"start_help": start_pair}


def measure(name: str, fast: Work, plain: Work, *, budget_s: float) -> Result:
    """Run both in turn until the time is spent, after one run of each that does not count."""
    times: dict[Work, list[float]] = {fast: [], plain: []}
    peaks: dict[Work, float | None] = {}
    for work in times:
        work()
    end = time.perf_counter() + budget_s
    while time.perf_counter() < end or len(times[plain]) < LEAST_ROUNDS:
        # the first of a pair changes, so that what one leaves behind slows down both alike
        for work in (fast, plain) if len(times[plain]) % 2 else (plain, fast):
            before = forget_peak()
            start = time.perf_counter()
            work()
            times[work].append(time.perf_counter() - start)
            peaks[work] = None if before is None else memory_mib("VmHWM") - before
    ratios = [b / a for a, b in zip(times[fast], times[plain], strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    seconds, baseline = (statistics.median(times[work]) for work in (fast, plain))
    return Result(name, len(ratios), seconds, baseline, ratio, low, high, peaks[fast], peaks[plain])


def forget_peak() -> float | None:
    """Give free memory back, begin a new peak, and return the MiB held now; None where that cannot be done."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return memory_mib("VmRSS")
    return None


def memory_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


# ---------------------------------------------------------------------- what is timed


def step_pair(words: str) -> Pair:
    """A training step of a model on one random batch, the same for both."""

    def step(fast: str) -> Work:
        import torch

        from models import create_model
        from options.train_options import TrainOptions

        with tempfile.TemporaryDirectory() as folder:
            runs = ["--checkpoints_dir", folder, "--dataroot", str(ROOT), "--display", "console"]
            opt = TrainOptions().parse([*words.split(), *runs, "--fast", fast, "--num_threads", "0"])
            torch.manual_seed(0)
            model = create_model(opt)
        size = (opt.batch_size, 3, opt.crop_size, opt.crop_size)
        images = {name: torch.rand(size) * 2 - 1 for name in ("A", "B", "image")}
        batch: Batch = {**images, "label": torch.arange(opt.batch_size) % 10}
        return lambda: model.optimize_parameters(batch)

    return lambda: (step("auto"), step("off"))


def attention_pair(channels: int, side: int, count: int) -> Pair:
    """Self-attention forward and backward, fused and with its map held."""

    def pair() -> tuple[Work, Work]:
        import torch

        from models.networks import SelfAttention2d

        attention = SelfAttention2d(channels)
        x = torch.randn(count, channels, side, side, requires_grad=True)
        weights = [x, *attention.parameters()]
        return (
            lambda: torch.autograd.grad(attention(x).sum(), weights),
            lambda: torch.autograd.grad(attention.explicit(x)[0].sum(), weights),
        )

    return pair


def start_pair() -> tuple[Work, Work]:
    """`train.py --help`, beside a bare import of torch."""
    words = (["train.py", "--help"], ["-c", "import torch"])

    def start(arguments: list[str]) -> Work:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    return start(words[0]), start(words[1])


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
