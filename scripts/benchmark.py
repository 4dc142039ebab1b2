"""Time the fast path against the plain one, or against another repository, in turn, and print a table.

python scripts/benchmark.py [--only cycle_gan_256 start_help] [--seconds 60] [--json FILE]
python scripts/benchmark.py --compare ~/pytorch-CycleGAN-and-pix2pix
python scripts/benchmark.py --device cuda --fast_flags "--amp bf16 --compile" --flags "--batch_size 8"

Machines are noisy and shared: read the ratios, which are medians over pairs of neighbouring runs, and not
the seconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.checks import writable
from scripts.benchmarks import table
from scripts.benchmarks.entries import ENTRIES
from scripts.benchmarks.measure import Result, measure
from scripts.benchmarks.peers import Peer, recognise
from scripts.benchmarks.setting import WARM_UPS, Setting
from util import errors, log
from util.cli.arguments import Arguments
from util.errors import UserError
from util.files import write_whole
from util.plugins import unknown

if TYPE_CHECKING:
    from scripts.benchmarks.ceiling import Ceiling


def main() -> int:
    opt = parse()
    if opt.list:
        for name, entry in ENTRIES.items():
            log.info(f"{name:<24} {entry.about}{'' if entry.usual else '  (when named)'}")
        return 0
    peer = None if opt.compare == "plain" else recognise(opt.compare)
    setting = Setting(opt.device, opt.flags.split(), opt.fast_flags.split(), peer)
    names = choose(opt.only, peer)
    check_device(opt.device)
    if opt.json:
        check_place(Path(opt.json))
    log.info(describe(setting))
    log.info(table.header())
    results: list[Result] = []
    for name in names:
        with ENTRIES[name].make(setting) as case:
            result = measure(name, case, budget_s=opt.seconds, ceiling=best_flops(opt.device))
        del case
        gc.collect()
        results.append(result)
        log.info(table.row(result))
        if opt.json:  # after each, so that nothing is lost where a later one fails
            write(Path(opt.json), results)
    if any(result.gflops for result in results):
        log.info(str(ceiling(opt.device)))
    return 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = Arguments(
        prog="benchmark.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run these; see --list")
    parser.add_argument("--list", action="store_true", help="name the entries, and leave")
    parser.add_argument(
        "--compare",
        default="plain",
        metavar="WHAT",
        help="plain = our own path under --fast off; or the folder of a checkout of\n"
        "CycleGAN-and-pix2pix, Self-Attention-GAN or BigGAN-PyTorch",
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="to spend on each (30); 3 rounds at least"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results there, too")
    parser.add_argument("--device", choices=tuple(WARM_UPS), default="cpu", help="where to compute (cpu)")
    parser.add_argument("--flags", default="", help='of train.py, for both sides: "--batch_size 8"')
    parser.add_argument("--fast_flags", default="", help='for the fast side alone: "--amp bf16 --compile"')
    return parser.parse_args(list(_joined(sys.argv[1:] if argv is None else argv)))


def _joined(argv: Sequence[str]) -> Iterator[str]:
    """`--flags --compile` -> `--flags=--compile`: argparse takes a word with dashes for a flag, not for a value."""
    words = iter(argv)
    for word in words:
        value = next(words, None) if word in ("--flags", "--fast_flags") else None
        yield word if value is None else f"{word}={value}"


def choose(asked: Sequence[str], peer: Peer | None) -> list[str]:
    """The entries to run: those named, or all usual ones that there is a counterpart of.

    Raises:
        UserError: there is no such entry, or the peer has nothing like it.
    """
    for name in asked:
        if name not in ENTRIES:
            raise UserError(unknown("--only", name, ENTRIES))
    fitting = [name for name, entry in ENTRIES.items() if peer is None or entry.peer == peer.kind]
    for name in asked:
        if name not in fitting:
            raise UserError(
                f"--only {name} has no counterpart in {peer.title if peer else ''}, which has {', '.join(fitting)}"
            )
    return list(asked) or [name for name in fitting if ENTRIES[name].usual]


def check_device(device: str) -> None:
    """Raise UserError for a device that this machine does not have."""
    from util import distributed

    distributed.pick_device(device)


def check_place(path: Path) -> None:
    """Raise UserError where the results could not be written."""
    if path.is_dir():
        raise UserError(f"--json {path} is a folder: name a file in it")
    writable(path.parent, "--json")


def describe(setting: Setting) -> str:
    """What the table is about: the machine, and who stands beside us."""
    import torch

    machine = f"{torch.get_num_threads()} threads"
    if setting.device == "cuda":
        machine = torch.cuda.get_device_name()
    beside = f"{setting.peer.title} in {setting.peer.path}" if setting.peer else "plain"
    words = " ".join([*setting.flags, *(f"[{word}]" for word in setting.fast_flags)])
    return f"torch {torch.__version__}, {machine}, fast against {beside} {words}".rstrip()


@cache
def ceiling(device: str) -> Ceiling:
    from scripts.benchmarks.ceiling import find_ceiling

    return find_ceiling(device)


def best_flops(device: str) -> Callable[[], float]:
    return lambda: ceiling(device).best


def write(path: Path, results: Sequence[Result]) -> None:
    write_whole(path, json.dumps([result.record() for result in results], indent=1).encode())


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
