"""Time the fast path against the reference path, or against another repository, and print a table.

python scripts/benchmark.py [--only cycle_gan_256 start_help] [--seconds 60] [--json FILE]
python scripts/benchmark.py --compare ~/pytorch-CycleGAN-and-pix2pix   (or Self-Attention-GAN, or BigGAN-PyTorch)
python scripts/benchmark.py --device cuda --fast_flags "--amp bf16 --compile" --flags "--batch_size 8"
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util import errors, log
from util.cli.arguments import Arguments
from util.cli.suggest import unknown
from util.errors import UserError
from util.files import write_atomically

if TYPE_CHECKING:  # the functions import these, and torch, after the flags are checked
    from scripts.benchmarks.measure import Record
    from scripts.benchmarks.peers import Peer

WARM_UPS = {"cpu": 1, "cuda": 5}  # CUDA chooses kernels, compiles and records graphs in its first runs
# title (its: of the baseline), key of the record, format
COLUMNS = (
    ("seconds", "seconds", ".4g"),
    ("its", "baseline_seconds", ".4g"),
    ("ratio", "ratio", ".2f"),
    ("from", "ratio_low", ".2f"),
    ("to", "ratio_high", ".2f"),
    ("rounds", "rounds", "d"),
    ("MiB", "peak_mib", ".0f"),
    ("its", "baseline_peak_mib", ".0f"),
    ("images/s", "images_per_s", ".4g"),
    ("its", "baseline_images_per_s", ".4g"),
    ("GFLOP/s", "gflops", ".0f"),
    ("of best", "of_ceiling", ".0%"),
)


def main() -> int:
    opt = parse()

    import torch

    from scripts.benchmarks.entries import ENTRIES
    from scripts.benchmarks.peers import recognise
    from util import distributed

    if opt.list:
        for name, entry in ENTRIES.items():
            log.info(f"{name:<24} {entry.about}{'' if entry.usual else '  (only with --only)'}")
        return 0
    peer = None if opt.compare in ("reference", "plain") else recognise(opt.compare)
    distributed.pick_device(opt.device)  # UserError if it is missing
    names, failed = choose(opt.only, peer)
    records: list[Record] = []
    if opt.json:
        write_atomically(opt.json, b"[]")  # reports a wrong path before anything is timed
    threads = f"{torch.get_num_threads()} threads"
    machine = torch.cuda.get_device_name() if opt.device == "cuda" else threads
    log.info(f"torch {torch.__version__}, {machine}, flags: {opt.flags} [{opt.fast_flags}]")
    log.info(header())
    for name in names:
        try:
            records.append(run(name, opt, peer))
        except Exception as error:  # also of the code of another repository; the other entries still run
            failed.append(name)
            log.warn(
                f"{name}: {error if isinstance(error, UserError) else f'{type(error).__name__}: {error}'}"
            )
        else:
            log.info(row(records[-1]))
            if opt.json:
                write_atomically(opt.json, json.dumps(records, indent=1).encode())
    return 2 if failed else 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = Arguments(__doc__, prog="benchmark.py")
    add = parser.add_argument
    add("--only", nargs="+", default=[], metavar="NAME", help="run only these entries; see --list")
    add("--list", action="store_true", help="list the entries and exit")
    compare = "reference (default) = this repository with --fast off; or the folder of another repository"
    add("--compare", default="reference", metavar="WHAT", help=compare)
    add(
        "--seconds",
        type=float,
        default=30.0,
        help="time for each entry (30); 3 rounds are run at least, of slow entries one",
    )
    add("--json", type=Path, metavar="FILE", help="also write the results to this file")
    add("--device", choices=tuple(WARM_UPS), default="cpu", help="where to compute (cpu)")
    add("--flags", default="", help='flags of train.py for both sides, such as "--batch_size 8"')
    add("--fast_flags", default="", help='flags for the fast side only, such as "--amp bf16 --compile"')
    words = list(sys.argv[1:] if argv is None else argv)
    for index, word in reversed(list(enumerate(words[:-1]))):
        if word in ("--flags", "--fast_flags"):  # argparse refuses a separate value that begins with dashes
            words[index : index + 2] = [f"{word}={words[index + 1]}"]
    return parser.parse_args(words)


def choose(only: Sequence[str], peer: Peer | None) -> tuple[list[str], list[str]]:
    """The entries to run, and the names of --only that cannot; UserError if none can."""
    from scripts.benchmarks.entries import ENTRIES

    fitting = [name for name, entry in ENTRIES.items() if peer is None or entry.peer == peer.kind]
    refused = [name for name in only if name not in fitting]
    sentences = [unknown("--only", name, fitting) for name in refused]
    if only and refused == list(only):
        raise UserError("; ".join(sentences))
    for sentence in sentences:
        log.warn(sentence)
    return [name for name in only or fitting if name in fitting and (only or ENTRIES[name].usual)], refused


def header() -> str:
    return " " * 22 + "".join(f"{title:>10}" for title, _, _ in COLUMNS) + "  against"


def row(record: Record) -> str:
    cells = ["-" if record[key] is None else format(record[key], spec) for _, key, spec in COLUMNS]
    return f"{record['name']:<22}" + "".join(f"{cell:>10}" for cell in cells) + f"  {record['against']}"


def run(name: str, opt: argparse.Namespace, peer: Peer | None) -> Record:
    """Measure one entry in a temporary folder."""
    from scripts.benchmarks.compute import best_flops
    from scripts.benchmarks.entries import ENTRIES
    from scripts.benchmarks.measure import Setting, measure

    gc.collect()
    entry = ENTRIES[name]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        setting = Setting(opt.device, opt.flags.split(), opt.fast_flags.split(), peer, folder, stack)
        case = entry.case(setting, *entry.arguments)
        record = measure(name, case, seconds=opt.seconds, warm_ups=WARM_UPS[opt.device])
    share = record["gflops"] and 1e9 * record["gflops"] / best_flops(opt.device)
    return record | {"of_ceiling": share}


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
