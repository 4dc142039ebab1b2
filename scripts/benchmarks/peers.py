"""Checkouts of other repositories on this machine: which one a folder holds, and its training step.

A peer runs in a process of its own, because its packages `models`, `util`, `data` and `options` have the
same names as ours, it changes global settings of torch, and its memory must be measured separately.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benchmarks.measure import Form, Gauge, Reading
from util.errors import UserError

NEVER = 10**12  # steps between what a peer would print, draw and save
OURS = ("data", "models", "options", "scripts", "util")  # packages
BIGGAN_SETS = {
    32: "C10",
    64: "I64",
    128: "I128",
    256: "I256",
}  # side in pixels -> its name of such a data set


@dataclass(frozen=True)
class Peer:
    kind: str
    path: Path

    @property
    def title(self) -> str:
        return KINDS[self.kind].title


class Job(NamedTuple):
    """What the process of a peer needs to know."""

    peer: Peer
    folder: Path  # holds batch.pt
    device: str
    words: list[str]  # its command line
    steps: int  # of D for one of G

    def batch(self) -> dict[str, Any]:
        import torch

        return torch.load(self.folder / "batch.pt", map_location=self.device, weights_only=True)


def recognise(path: str) -> Peer:
    """The repository that a folder is a checkout of; UserError for any other folder."""
    folder = Path(path).resolve()
    for name, kind in KINDS.items():
        if all((folder / file).is_file() for file in kind.files):
            return Peer(name, folder)
    known = "; ".join(f"{kind.title} has {', '.join(kind.files)}" for kind in KINDS.values())
    raise UserError(f"--compare {path} must be `reference` or the folder of a known checkout: {known}")


@contextmanager
def peer_step(
    peer: Peer, opt: Namespace, batch: Mapping[str, Any], *, folder: Path, device: str
) -> Iterator[Form]:
    """The peer's training step on the same tensors and at the same sizes, until the context is left.

    Raises:
        UserError: the peer does not support these sizes, lacks a package, or fails.
    """
    import torch

    torch.save(dict(batch), folder / "batch.pt")
    words = [f"--{name}={value}" for name, value in KINDS[peer.kind].flags(opt, folder).items()]
    job = Job(peer, folder, device, words, vars(opt).get("n_critic", 1))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()

    def answer() -> Reading:
        try:
            reading = ours.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            reading = f"its process ended with exit code {process.exitcode}"
        if isinstance(reading, str):
            raise UserError(f"--compare {peer.path}: {peer.title} makes no step here: {reading}")
        return Reading(*reading)

    def step(memory: bool) -> Reading:
        with suppress(BrokenPipeError):  # the process has ended, and its last answer says why
            ours.send(memory)
        return answer()

    try:
        answer()  # comes as soon as the model is built
        yield step
    finally:
        ours.close()  # which ends the process
        process.join()


# ---------------------------------------------------------------------- in the process of a peer


def _serve(job: Job, pipe: Connection) -> None:
    """Answer each request with the reading of a step; what the peer prints is dropped."""
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    root = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [str(job.peer.path), *(entry for entry in sys.path if entry not in ("", root))]
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]  # these names mean the packages of the peer from here on
    if job.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # peers use every GPU that they see
    os.chdir(job.folder)
    sys.argv = ["train.py", *job.words]
    try:
        KINDS[job.peer.kind].train(job, _requests(pipe, job.device))
    except ImportError as error:
        pipe.send(f"the package {error.name} is missing: pip install {error.name}")
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _requests(pipe: Connection, device: str) -> Iterator[None]:
    """Yields whenever a step is requested, and sends its reading when the step is done."""
    gauge = Gauge(device)
    reading = Reading(0.0)
    while True:
        pipe.send(tuple(reading))  # a tuple, because the class cannot be imported here any more
        try:
            memory = pipe.recv()
        except EOFError:
            os._exit(0)  # no SystemExit, which a peer may catch
        gauge.start(memory)
        yield
        reading = gauge.stop()


def _train_cycle_gan(job: Job, requests: Iterator[None]) -> None:
    """set_input() and optimize_parameters(), as its training loop calls them."""
    import torch

    if "--gpu_ids" in (job.peer.path / "options/base_options.py").read_text():  # versions up to 2024
        sys.argv += ["--gpu_ids", "0" if job.device == "cuda" else "-1"]
    from models import create_model
    from options.train_options import TrainOptions

    opt: Any = TrainOptions().parse()
    if not hasattr(opt, "device"):
        opt.device = torch.device(job.device)
    model: Any = create_model(opt)
    model.setup(opt)
    batch = job.batch()
    for _ in requests:
        model.set_input(batch)
        model.optimize_parameters()


def _train_sagan(job: Job, requests: Iterator[None]) -> None:
    """Its Trainer.train(), with a data loader that returns the batch at each request."""
    import torch
    from parameter import get_parameters
    from trainer import Trainer

    if job.device == "cpu":  # its code calls .cuda() without looking for a GPU
        torch.nn.Module.cuda = lambda self, device=None: self  # type: ignore[method-assign]
        torch.Tensor.cuda = lambda self, *args, **options: self  # type: ignore[method-assign]
    batch = job.batch()

    class Loader:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[tuple[Any, Any]]:
            for _ in requests:
                yield batch["image"], batch["label"]

    config = get_parameters()
    config.log_step = config.sample_step = config.model_save_step = config.total_step = NEVER
    Trainer(Loader(), config).train()


def _train_biggan(job: Job, requests: Iterator[None]) -> None:
    """The training function of train_fns.py, which makes all steps of D and one of G."""
    import torch
    import train_fns
    import utils

    config = vars(utils.prepare_parser().parse_args())
    switches = ("ema", "use_ema") if config["dataset"] == "C10" else ("ema", "use_ema", "hier", "G_shared")
    config |= dict.fromkeys(switches, True)
    config["resolution"] = utils.imsize_dict[config["dataset"]]
    config["n_classes"] = utils.nclass_dict[config["dataset"]]
    for net in ("G", "D"):
        config[f"{net}_activation"] = utils.activation_dict[config[f"{net}_nl"]]
    package: Any = __import__(config["model"])
    G, D = package.Generator(**config).to(job.device), package.Discriminator(**config).to(job.device)
    averaged = package.Generator(**(config | {"skip_init": True, "no_optim": True})).to(job.device)
    ema = utils.ema(G, averaged, config["ema_decay"], config["ema_start"])
    z, y = utils.prepare_z_y(config["batch_size"], G.dim_z, config["n_classes"], device=job.device)
    state = {"itr": 0}
    train = train_fns.GAN_training_function(G, D, package.G_D(G, D), z, y, ema, state, config)
    torch.backends.cudnn.benchmark = True  # as its train.py does
    batch = job.batch()
    images, labels = (torch.cat([batch[key]] * job.steps) for key in ("image", "label"))
    for _ in requests:
        state["itr"] += 1
        for net in (G, D, averaged):
            net.train()
        train(images, labels)


# ---------------------------------------------------------------------- our options as flags of a peer


def _cycle_gan_flags(opt: Namespace, folder: Path) -> dict[str, object]:
    shared = "model batch_size crop_size load_size ngf ndf netG netD n_layers_D norm gan_mode pool_size"
    values = {name: getattr(opt, name) for name in shared.split()}
    return values | {"dataroot": folder, "checkpoints_dir": folder, "name": "peer"}


def _sagan_flags(opt: Namespace, folder: Path) -> dict[str, object]:
    if opt.crop_size != 64:
        raise UserError(f"--crop_size {opt.crop_size}: Self-Attention-GAN makes images of 64 pixels only")
    sizes = {"imsize": 64, "batch_size": opt.batch_size, "z_dim": opt.z_dim}
    return sizes | {"g_conv_dim": opt.ngf, "d_conv_dim": opt.ndf, "adv_loss": "hinge"}


def _biggan_flags(opt: Namespace, folder: Path) -> dict[str, object]:
    """The settings of its scripts, for CIFAR-10 at 32 pixels and for ImageNet above."""
    if opt.crop_size not in BIGGAN_SETS:
        raise UserError(f"--crop_size {opt.crop_size}: BigGAN-PyTorch has no nets of this size")
    values = {"dataset": BIGGAN_SETS[opt.crop_size], "batch_size": opt.batch_size}
    values |= {"G_ch": opt.ngf, "D_ch": opt.ndf, "dim_z": opt.z_dim, "num_D_steps": opt.n_critic}
    values |= {"G_ortho": opt.ortho_G, "SN_eps": 1e-6, "adam_eps": 1e-6}
    if opt.crop_size == 32:
        return values | {"G_attn": 0, "D_attn": 0}
    return values | {"shared_dim": opt.shared_dim, "G_init": "ortho", "D_init": "ortho"}


class Kind(NamedTuple):
    """A repository: its title, the files that identify it, our options as its flags, and its training."""

    title: str
    files: tuple[str, ...]
    flags: Callable[[Namespace, Path], dict[str, object]]
    train: Callable[[Job, Iterator[None]], None]


KINDS = {
    "cycle_gan": Kind(
        "pytorch-CycleGAN-and-pix2pix",
        ("models/cycle_gan_model.py", "options/train_options.py", "util/util.py"),
        _cycle_gan_flags,
        _train_cycle_gan,
    ),
    "sagan": Kind(
        "Self-Attention-GAN",
        ("sagan_models.py", "trainer.py", "parameter.py"),
        _sagan_flags,
        _train_sagan,
    ),
    "biggan": Kind("BigGAN-PyTorch", ("BigGAN.py", "train_fns.py", "utils.py"), _biggan_flags, _train_biggan),
}
