"""Time the fast path against the reference path, or against another repository, and print a table.

python scripts/benchmark.py [--only cycle_gan_256 start_help] [--seconds 60] [--json FILE]
python scripts/benchmark.py --compare ~/pytorch-CycleGAN-and-pix2pix
python scripts/benchmark.py --device cuda --fast_flags "--amp bf16 --compile" --flags "--batch_size 8"

Timings vary where other programs share the machine. The ratios, which are medians over pairs of neighbouring
runs, vary less than the seconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.checks import writable
from scripts.benchmarks import table
from scripts.benchmarks.entries import ENTRIES
from scripts.benchmarks.measure import Record, measure
from scripts.benchmarks.peers import Peer, recognise
from scripts.benchmarks.setting import WARM_UPS, Setting
from util import errors, log
from util.cli.arguments import Arguments
from util.errors import UserError
from util.files import write_atomically
from util.plugins import unknown


def main() -> int:
    opt = parse()
    if opt.list:
        for name, entry in ENTRIES.items():
            log.info(f"{name:<24} {entry.about}{'' if entry.usual else '  (only with --only)'}")
        return 0
    peer = None if opt.compare in ("reference", "plain") else recognise(opt.compare)
    setting = Setting(opt.device, opt.flags.split(), opt.fast_flags.split(), peer)
    names, failed = choose(opt.only, peer)
    check(opt)
    log.info(describe(setting))
    log.info(table.header())
    records: list[Record] = []
    for name in names:
        try:
            records.append(run(name, setting, opt.seconds))
        except UserError as error:
            failed.append(f"{name}: {error}")
            log.warn(failed[-1])
            continue
        log.info(table.row(records[-1]))
        if opt.json:  # after each entry, so that a later fault loses nothing
            write_atomically(Path(opt.json), json.dumps(records, indent=1).encode())
    if any(record["gflops"] for record in records):
        product, convolution = (f"{flops / 1e9:.0f} GFLOP/s" for flops in ceiling(opt.device))
        log.info(f"best of this machine: matrix products {product}, convolutions {convolution}")
    return 2 if failed else 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = Arguments(__doc__, prog="benchmark.py")
    add = parser.add_argument
    add("--only", nargs="+", default=[], metavar="NAME", help="run only these entries; see --list")
    add("--list", action="store_true", help="list the entries and exit")
    compare = "reference (default) = this repository with --fast off; or the folder of a checkout of\n"
    compare += "pytorch-CycleGAN-and-pix2pix, Self-Attention-GAN or BigGAN-PyTorch"
    add("--compare", default="reference", metavar="WHAT", help=compare)
    add("--seconds", type=float, default=30.0, help="time for each entry (30); at least 3 rounds are run")
    add("--json", metavar="FILE", help="also write the results to this file")
    add("--device", choices=tuple(WARM_UPS), default="cpu", help="where to compute (cpu)")
    add("--flags", default="", help='flags of train.py for both sides, such as "--batch_size 8"')
    add("--fast_flags", default="", help='flags for the fast side only, such as "--amp bf16 --compile"')
    words = list(sys.argv[1:] if argv is None else argv)
    for index, word in reversed(list(enumerate(words[:-1]))):
        if word in ("--flags", "--fast_flags"):  # argparse refuses a separate value that begins with dashes
            words[index : index + 2] = [f"{word}={words[index + 1]}"]
    return parser.parse_args(words)


def choose(only: Sequence[str], peer: Peer | None) -> tuple[list[str], list[str]]:
    """The entries to run, and a sentence, printed as a warning, for each name of --only that cannot run.

    Raises:
        UserError: none of the names can run.
    """
    fitting = [name for name, entry in ENTRIES.items() if peer is None or entry.peer == peer.kind]
    refused = [unknown("--only", name, ENTRIES) for name in only if name not in ENTRIES]
    for name in only:
        if name in ENTRIES and name not in fitting and peer:
            refused.append(f"--only {name}: {peer.title} has only {', '.join(fitting)}")
    names = [name for name in only if name in fitting] if only else fitting
    if not names:
        raise UserError("; ".join(refused))
    for sentence in refused:
        log.warn(sentence)
    return [name for name in names if only or ENTRIES[name].usual], refused


def check(opt: argparse.Namespace) -> None:
    """Raise UserError where the device is missing or the results cannot be written."""
    from util import distributed

    distributed.pick_device(opt.device)
    if opt.json:
        if Path(opt.json).is_dir():
            raise UserError(f"--json {opt.json} is a folder: name a file in it")
        writable(Path(opt.json).parent, "--json")


def describe(setting: Setting) -> str:
    """The machine, what the fast path is compared with, and the flags."""
    import torch

    machine = f"{torch.get_num_threads()} threads"
    if setting.device == "cuda":
        machine = torch.cuda.get_device_name()
    against = f"{setting.peer.title} in {setting.peer.path}" if setting.peer else "reference path"
    words = " ".join([*setting.flags, *(f"[{word}]" for word in setting.fast_flags)])
    return f"torch {torch.__version__}, {machine}, fast path against {against} {words}".rstrip()


def run(name: str, setting: Setting, seconds: float) -> Record:
    """Measure one entry in a temporary folder."""
    gc.collect()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        case = ENTRIES[name].case(replace(setting, folder=folder, stack=stack))
        return measure(name, case, budget_s=seconds, best_flops=lambda: max(ceiling(setting.device)))


@cache
def ceiling(device: str) -> tuple[float, float]:
    from scripts.benchmarks.ceiling import find_ceiling

    return find_ceiling(device)


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
