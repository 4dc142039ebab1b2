"""Turn weights of public repositories into a run for test.py and scripts/sample.py.

    python scripts/import_weights.py --source biggan --G G.pth --G_ema G_ema.pth --name biggan_imagenet
    python test.py --model biggan --name biggan_imagenet --num_test 16

sagan: https://github.com/heykeetae/Self-Attention-GAN (64 pixels)
biggan: https://github.com/ajbrock/BigGAN-PyTorch (32 to 256 pixels)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options import checks
from util.cli.arguments import Arguments
from util.cli.flag_types import number
from util.errors import UserError, run
from util.files import write_atomically
from util.log import info

if TYPE_CHECKING:
    from models.imports.common import Kind
    from util.run.weights import State

# the nets are built only to be checked and saved
BUILD = "--dataset_mode noise --init_type default --ema_decay 0 --device cpu --display console".split()


def main(argv: Sequence[str] | None = None) -> None:
    parser = Arguments(__doc__)
    add = parser.add_argument
    add("--source", choices=["sagan", "biggan"], required=True, help="origin of the weights")
    add("--G", type=Path, required=True, metavar="FILE", help="the generator")
    add("--G_ema", type=Path, metavar="FILE", help="the generator with averaged weights")
    add("--D", type=Path, metavar="FILE", help="the discriminator")
    about = "--BN_eps of BigGAN-PyTorch's training, which the files do not tell (default: 1e-5, as there)"
    add("--BN_eps", type=number(above=0), default=1e-5, help=about)
    about = "--norm_style of BigGAN-PyTorch's training, which the files do not tell; only bn can be imported"
    add("--norm_style", default="bn", help=about)
    add("--name", required=True, help="name of the new run")
    add("--checkpoints_dir", default="./checkpoints", help="folder of all runs (./checkpoints)")
    args = parser.parse_args(argv)

    if args.norm_style != "bn":
        raise UserError(
            f"--norm_style {args.norm_style}: this repository has no BigGAN with such norms, so only weights of "
            "--norm_style bn can be imported"
        )
    if args.source != "biggan" and args.BN_eps != 1e-5:
        raise UserError(f"--BN_eps {args.BN_eps:g} is for --source biggan: leave it out")

    from util.run import weight_files, weights  # torch, which --help does not need

    folder = checks.run_folder(args)
    if folder.is_file() or weight_files.saved(folder) or (folder / "opt.json").exists():
        raise UserError(f"{folder} exists and is not overwritten: choose another --name, or move it away")
    files = {name: path for name in ("G", "G_ema", "D") if (path := getattr(args, name)) is not None}
    states = {name: weights.read(path) for name, path in files.items()}
    for name, path in files.items():
        weights.refuse_not_finite(path, states[name])
    options = write_nets(args, files, states, folder) | {"standing_stats": 0}
    # written last: a folder with options is complete
    write_atomically(folder / "opt.json", (json.dumps(options, indent=1, sort_keys=True) + "\n").encode())
    if args.source == "biggan":
        info(f"assumed, because the files do not tell: --BN_eps {args.BN_eps:g} --norm_style bn")
    info(
        f"{folder} holds {', '.join(files)}; make images: python test.py --model {args.source} "
        f"--name {args.name} --checkpoints_dir {args.checkpoints_dir} --num_test 16"
    )


def write_nets(
    args: argparse.Namespace, files: dict[str, Path], states: dict[str, State], folder: Path
) -> dict[str, str | int | float]:
    """Write `latest_net_<name>.pth` for each file; -> the options that the nets are built with."""
    from models import create_model
    from models.imports import biggan, sagan
    from options.train_options import TrainOptions
    from util.run import checkpoint, weights

    importer = {"sagan": sagan, "biggan": biggan}[args.source]
    kinds: dict[str, Kind] = {name: "D" if name == "D" else "G" for name in files}
    translated = {}
    for name, kind in kinds.items():  # all files are checked before one is written
        with naming(files[name]):
            translated[name] = importer.translate(states[name], kind)
    with naming(*(path for name, path in files.items() if name != "G_ema")):
        options = importer.options(states["G"], states.get("D"))
    if args.source == "biggan":
        options |= {"norm_eps": args.BN_eps}
    words = [f"--{name}={value}" for name, value in options.items()]
    run_words = ["--name", args.name, "--checkpoints_dir", args.checkpoints_dir]
    model = create_model(TrainOptions().parse([*words, *run_words, *BUILD]))
    for name, kind in kinds.items():
        if wrong := weights.mismatch(model.nets[kind], translated[name]):
            raise UserError(f"{files[name]}: only nets of the published widths can be imported; {wrong}")
    for name, kind in kinds.items():
        model.nets[kind].load_state_dict(translated[name])
        checkpoint.save(model.nets[kind].state_dict(), folder / f"latest_net_{name}.pth")
    return options


@contextmanager
def naming(*paths: Path) -> Iterator[None]:
    """Add the names of the files to the errors of the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{' and '.join(map(str, paths))}: {error}") from error


if __name__ == "__main__":
    raise SystemExit(run(main))
