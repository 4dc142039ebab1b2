"""Training steps of other repositories, from checkouts on this machine.

Each runs in its own process, because its packages have the same names as ours and it changes settings of torch.
"""

import multiprocessing
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from scripts.benchmarks.measure import ROOT, Form, Reading, gauge
from util.errors import UserError

NEVER = 10**12  # steps between what a peer would print, draw and save
OURS = ("data", "models", "options", "scripts", "util")  # packages
Requests = Iterator[None]  # yields whenever a step is requested, and measures it


class Peer(NamedTuple):
    kind: str
    title: str
    files: str  # identify the repository
    flags: str  # of its train.py; those with another name here as theirs:ours
    train: Callable[[Namespace, dict[str, Any], Requests], None]
    path: Path = Path()  # the checkout
    without: str = ""  # a file that only another repository with the same files has


def recognise(path: str) -> Peer:
    """The repository that a folder is a checkout of; UserError for any other folder."""
    folder = Path(path).resolve()
    for peer in PEERS:
        is_other = peer.without and (folder / peer.without).exists()
        if not is_other and all((folder / file).is_file() for file in peer.files.split()):
            return peer._replace(path=folder)
    known = "; ".join(f"{peer.title} has {peer.files}" for peer in PEERS)
    raise UserError(f"--compare {path} must be `reference` or the folder of a known checkout: {known}")


def random_batch(opt: Namespace) -> dict[str, Any]:
    """The same batch in every call, with the keys of every data set: images in [-1, 1], labels and paths."""
    generator = torch.Generator().manual_seed(0)
    size = (opt.batch_size, 3, opt.crop_size, opt.crop_size)
    images = [torch.rand(size, generator=generator).to(opt.device) * 2 - 1 for _ in range(3)]
    label = torch.arange(opt.batch_size, device=opt.device) % max(1, vars(opt).get("n_classes") or 1)
    paths = [f"{index}.png" for index in range(opt.batch_size)]
    return dict(zip(("A", "B", "image"), images, strict=True), label=label, A_paths=paths, B_paths=paths)


@contextmanager
def peer_step(peer: Peer, opt: Namespace, folder: Path) -> Iterator[Form]:
    """The peer's training step on random_batch(opt); the form raises UserError if a step fails."""
    context = multiprocessing.get_context("spawn")
    pipe, other_end = context.Pipe()
    process = context.Process(target=_serve, args=(other_end, peer, opt, folder))
    process.start()
    other_end.close()

    def step(memory: bool) -> Reading:
        with suppress(BrokenPipeError):  # the process has ended, and its last answer says why
            pipe.send(memory)
        try:
            answer = pipe.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            answer = f"its process ended with exit code {process.exitcode}"
        if isinstance(answer, str):
            raise UserError(f"--compare {peer.path}: {peer.title} makes no step here: {answer}")
        return Reading(*answer)

    try:
        yield step
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, peer: Peer, opt: Namespace, folder: Path) -> None:
    """Answer each request with the reading of a step, without the output of the peer."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    if opt.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # peers use every GPU that they see
    os.chdir(folder)
    names = [flag.partition(":")[::2] for flag in peer.flags.split()]
    sys.argv = ["train.py", *(f"--{theirs}={getattr(opt, ours or theirs)}" for theirs, ours in names)]
    batch = random_batch(opt)
    sys.path[:] = [str(peer.path), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]  # these names mean the packages of the peer from here on

    def requests() -> Requests:
        while True:
            with gauge(opt.device, pipe.recv()) as reading:
                yield
            pipe.send((reading.seconds, reading.peak_mib))  # the class cannot be imported here any more

    try:
        peer.train(opt, batch, requests())
    except ImportError as error:
        pipe.send(f"the package {error.name} is missing: pip install {error.name}")
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _train_cycle_gan(opt: Namespace, batch: dict[str, Any], requests: Requests) -> None:
    """set_input() and optimize_parameters(), as its training loop calls them."""
    sys.argv += ["--dataroot", ".", "--checkpoints_dir", ".", "--name", "peer"]
    if "--gpu_ids" in Path(sys.path[0], "options/base_options.py").read_text():  # versions up to 2024
        sys.argv += ["--gpu_ids", "0" if opt.device == "cuda" else "-1"]
    from models import create_model
    from options.train_options import TrainOptions

    peer_opt: Any = TrainOptions().parse()
    peer_opt.device = getattr(peer_opt, "device", torch.device(opt.device))
    model: Any = create_model(peer_opt)
    model.setup(peer_opt)
    for _ in requests:
        model.set_input(batch)
        model.optimize_parameters()


def _train_sagan(opt: Namespace, batch: dict[str, Any], requests: Requests) -> None:
    """Its Trainer.train(), with a data loader that returns the batch at each request."""
    if opt.crop_size != 64:
        raise ValueError(f"--crop_size {opt.crop_size}: it makes images of 64 pixels only")
    sys.argv += ["--adv_loss", "hinge"]
    from parameter import get_parameters
    from trainer import Trainer

    if opt.device == "cpu":  # its code calls .cuda() without looking for a GPU
        torch.nn.Module.cuda = lambda self, device=None: self  # type: ignore[method-assign]
        torch.Tensor.cuda = lambda self, *args, **options: self  # type: ignore[method-assign]

    class Loader(list):
        def __iter__(self) -> Iterator[tuple[Any, Any]]:
            return ((batch["image"], batch["label"]) for _ in requests)

    config = get_parameters()
    config.log_step = config.sample_step = config.model_save_step = config.total_step = NEVER
    Trainer(Loader([None]), config).train()


def _train_biggan(opt: Namespace, batch: dict[str, Any], requests: Requests) -> None:
    """The training function of train_fns.py, which makes all steps of D and one of G."""
    import train_fns
    import utils

    # the settings of its scripts, for CIFAR-10 at 32 pixels and for ImageNet above
    small = "--dataset C10 --G_attn 0 --D_attn 0"
    large = f"--dataset I{opt.crop_size} --shared_dim {opt.shared_dim} --hier --G_shared"
    large += " --G_init ortho --D_init ortho"
    sys.argv += f"--SN_eps 1e-6 --adam_eps 1e-6 {small if opt.crop_size == 32 else large}".split()
    config = vars(utils.prepare_parser().parse_args()) | {"ema": True, "use_ema": True}
    config["resolution"] = utils.imsize_dict[config["dataset"]]
    config["n_classes"] = utils.nclass_dict[config["dataset"]]
    for net in ("G", "D"):
        config[f"{net}_activation"] = utils.activation_dict[config[f"{net}_nl"]]
    package: Any = __import__(config["model"])
    G, D = package.Generator(**config).to(opt.device), package.Discriminator(**config).to(opt.device)
    averaged = package.Generator(**(config | {"skip_init": True, "no_optim": True})).to(opt.device)
    ema = utils.ema(G, averaged, config["ema_decay"], config["ema_start"])
    z, y = utils.prepare_z_y(config["batch_size"], G.dim_z, config["n_classes"], device=opt.device)
    state = {"itr": 0}
    train = train_fns.GAN_training_function(G, D, package.G_D(G, D), z, y, ema, state, config)
    torch.backends.cudnn.benchmark = True  # as its train.py does
    images, labels = (torch.cat([batch[key]] * opt.n_critic) for key in ("image", "label"))
    for _ in requests:
        state["itr"] += 1
        for net in (G, D, averaged):
            net.train()
        train(images, labels)


CYCLE_GAN_FILES = "models/cycle_gan_model.py options/train_options.py util/util.py"
CYCLE_GAN_FLAGS = "model batch_size crop_size load_size ngf ndf netG netD n_layers_D norm gan_mode pool_size"
SAGAN_FLAGS = "imsize:crop_size batch_size z_dim g_conv_dim:ngf d_conv_dim:ndf"
BIGGAN_FLAGS = "batch_size num_D_steps:n_critic G_ch:ngf D_ch:ndf dim_z:z_dim G_ortho:ortho_G"
PEERS = (
    Peer(
        "cycle_gan",
        "pytorch-CycleGAN-and-pix2pix",
        CYCLE_GAN_FILES,
        CYCLE_GAN_FLAGS,
        _train_cycle_gan,
        without="models/cut_model.py",  # contrastive-unpaired-translation
    ),
    Peer("sagan", "Self-Attention-GAN", "sagan_models.py trainer.py parameter.py", SAGAN_FLAGS, _train_sagan),
    Peer("biggan", "BigGAN-PyTorch", "BigGAN.py train_fns.py utils.py", BIGGAN_FLAGS, _train_biggan),
)
