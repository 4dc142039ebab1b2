"""Makes a run of weights that well-known public repositories saved, ready for test.py and scripts/sample.py.

    python scripts/import_weights.py --source biggan --G G.pth --G_ema G_ema.pth --name biggan_imagenet
    python test.py --model biggan --name biggan_imagenet --num_test 16

sagan is the PyTorch code by heykeetae (64 pixels); biggan is BigGAN-PyTorch by ajbrock (32 to 256 pixels).
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import create_model
from models.imports import biggan, sagan
from options import checks
from options.train_options import TrainOptions
from util.cli.arguments import Arguments
from util.errors import UserError, run
from util.files import write_whole
from util.log import info
from util.run import checkpoint, weights

IMPORTERS = {"sagan": sagan, "biggan": biggan}
# the nets are built to be checked and saved, not to learn
STILL = "--dataset_mode noise --init_type default --ema_decay 0 --device cpu --display console".split()


def main(argv: Sequence[str] | None = None) -> None:
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=list(IMPORTERS), required=True, help="whose weights they are")
    parser.add_argument("--G", type=Path, required=True, metavar="FILE", help="the generator")
    parser.add_argument("--G_ema", type=Path, metavar="FILE", help="the generator with averaged weights")
    parser.add_argument("--D", type=Path, metavar="FILE", help="the discriminator")
    parser.add_argument("--name", required=True, help="name of the run to make")
    parser.add_argument("--checkpoints_dir", default="./checkpoints", help="where runs are kept")
    given = parser.parse_args(argv)
    folder = empty_folder(given)
    files = {name: path for name in ("G", "G_ema", "D") if (path := getattr(given, name)) is not None}
    states = {name: weights.read(path) for name, path in files.items()}
    options = write_nets(given, files, states, folder)
    # written last: a folder with options is a whole one
    write_whole(
        folder / "opt.json",
        (json.dumps(options | {"standing_stats": 0}, indent=1, sort_keys=True) + "\n").encode(),
    )
    info(
        f"{folder} holds {', '.join(files)}; make images: python test.py --model {given.source} "
        f"--name {given.name} --checkpoints_dir {given.checkpoints_dir} --num_test 16"
    )


def empty_folder(given: argparse.Namespace) -> Path:
    """The folder of the run to make.

    Raises:
        UserError: the name leads elsewhere, or there is such a run.
    """
    folder = checks.run_folder(given)
    if folder.is_file() or weights.saved(folder) or (folder / "opt.json").exists():
        raise UserError(f"{folder} exists and is not overwritten: choose another --name, or move it away")
    return folder


def write_nets(
    given: argparse.Namespace, files: dict[str, Path], states: dict[str, weights.State], folder: Path
) -> dict[str, str | int]:
    """Write `latest_net_<name>.pth` of each file; -> the options that the nets were built with.

    Raises:
        UserError: a file is not of the source, or its shapes are not those of the nets.
    """
    importer = IMPORTERS[given.source]
    with about(files["G"]):
        options = importer.options(states["G"], states.get("D"))
    words = [f"--{name}={value}" for name, value in options.items()]
    place = ["--name", given.name, "--checkpoints_dir", given.checkpoints_dir]
    model = create_model(TrainOptions().parse([*words, *place, *STILL]))
    kinds = {name: "D" if name == "D" else "G" for name in files}
    for name, kind in kinds.items():  # all are checked before one is written
        with about(files[name]):
            states[name] = importer.translate(states[name], kind)
        check_shapes(files[name], model.nets[kind].state_dict(), states[name])
    for name, kind in kinds.items():
        model.nets[kind].load_state_dict(states[name])
        checkpoint.save(model.nets[kind].state_dict(), folder / f"latest_net_{name}.pth")
    return options


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def check_shapes(path: Path, own: weights.State, state: weights.State) -> None:
    """Refuse weights whose keys or shapes are not those of the net built for them."""
    ours, theirs = ({key: tuple(value.shape) for key, value in each.items()} for each in (own, state))
    odd = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if odd:
        raise UserError(
            f"{path} is not of the published widths: {len(odd)} of {len(ours)} tensors differ ({odd[0]} has shape "
            f"{theirs.get(odd[0])}, not {ours.get(odd[0])}); only nets of the published tables can be imported"
        )


if __name__ == "__main__":
    sys.exit(run(main))
