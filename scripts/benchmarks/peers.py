"""Checkouts of other repositories that a person has on disk: which one it is, and its training step as a form.

A peer runs in a process of its own, which makes one step at each request. In this process its packages
`models`, `util`, `data` and `options` would meet ours of the same names; it asks for .cuda() where there is
none, prints, reads sys.argv and sets global switches of torch; and its memory would be counted with ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from scripts.benchmarks.gauge import Reading
from scripts.benchmarks.measure import Form
from util.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
WORKER = "scripts.benchmarks.peer_worker"
# kind -> what people call it, and the files that it is known by
KINDS = {
    "cycle_gan": (
        "CycleGAN-and-pix2pix",
        ("models/cycle_gan_model.py", "options/train_options.py", "util/util.py"),
    ),
    "sagan": ("Self-Attention-GAN", ("sagan_models.py", "trainer.py", "parameter.py")),
    "biggan": ("BigGAN-PyTorch", ("BigGAN.py", "train_fns.py", "utils.py")),
}
BIGGAN_SETS = {32: "C10", 64: "I64", 128: "I128", 256: "I256"}  # side in pixels -> its name for such images


@dataclass(frozen=True)
class Peer:
    """A checkout of another repository."""

    kind: str
    path: Path

    @property
    def title(self) -> str:
        return KINDS[self.kind][0]


def recognise(path: str) -> Peer:
    """Which repository a folder is a checkout of, told by its files.

    Raises:
        UserError: none that we know.
    """
    folder = Path(path).resolve()
    for kind, (_, files) in KINDS.items():
        if all((folder / name).is_file() for name in files):
            return Peer(kind, folder)
    known = "; ".join(f"{title} has {', '.join(files)}" for title, files in KINDS.values())
    raise UserError(f"--compare {path} is neither `plain` nor the folder of a checkout that we know: {known}")


@contextmanager
def stepping(
    peer: Peer, opt: Namespace, batch: Mapping[str, Any], *, folder: str, device: str
) -> Iterator[Form]:
    """Its training step on the same tensors and at the same sizes, as a form, until the context is left.

    Raises:
        UserError: it has nothing of these sizes, misses a package, or fails.
    """
    import torch

    tensors = Path(folder, "batch.pt")
    torch.save(
        {key: value.cpu() if hasattr(value, "cpu") else value for key, value in batch.items()}, tensors
    )
    job = {
        "kind": peer.kind,
        "path": str(peer.path),
        "device": device,
        "batch": str(tensors),
        "words": WORDS[peer.kind](opt, folder),
        "steps": vars(opt).get("n_critic", 1),
    }
    with tempfile.TemporaryFile("w+") as errors, _started(job, folder, errors) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            _answer(peer, child.stdout, errors)
            yield lambda memory: _step(peer, child, errors, memory)
        finally:
            with suppress(BrokenPipeError):
                child.stdin.close()  # which ends it


def _started(job: Mapping[str, object], folder: str, errors: IO[str]) -> subprocess.Popen[str]:
    hidden = {} if job["device"] == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}  # peers take what they see
    return subprocess.Popen(
        [sys.executable, "-m", WORKER, json.dumps(job), folder],
        cwd=ROOT,
        env=os.environ | hidden,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        bufsize=1,
    )


def _step(peer: Peer, child: subprocess.Popen[str], errors: IO[str], memory: bool) -> Reading:
    assert child.stdin is not None and child.stdout is not None
    with suppress(BrokenPipeError):  # it has ended, and what it said last is the answer
        child.stdin.write("memory\n" if memory else "step\n")
    return Reading(**_answer(peer, child.stdout, errors))


def _answer(peer: Peer, pipe: IO[str], errors: IO[str]) -> dict[str, Any]:
    """The next line of a peer: a reading, or what is wrong with it."""
    line = pipe.readline()
    answer = json.loads(line) if line else {"error": _last_words(errors)}
    if "package" in answer:
        name = answer["package"]
        raise UserError(
            f"--compare {peer.path} imports {name}, which is not there: pip install {name}, "
            "or complete the checkout where it is a file of its own"
        )
    if "error" in answer:
        raise UserError(f"--compare {peer.path}: {peer.title} does not run at these sizes: {answer['error']}")
    return answer


def _last_words(errors: IO[str]) -> str:
    errors.seek(0)
    return " ".join(errors.read().strip().splitlines()[-1:]) or "its process ended in silence"


# ---------------------------------------------------------------------- our options in their words


def _cycle_gan_words(opt: Namespace, folder: str) -> list[str]:
    shared = (
        "model batch_size crop_size load_size ngf ndf netG netD n_layers_D norm gan_mode pool_size".split()
    )
    words = [f"--{name}={getattr(opt, name)}" for name in shared]
    return [*words, f"--dataroot={folder}", f"--checkpoints_dir={folder}", "--name=peer"]


def _sagan_words(opt: Namespace, folder: str) -> list[str]:
    if opt.crop_size != 64:
        raise UserError(f"Self-Attention-GAN makes images of 64 pixels, not of --crop_size {opt.crop_size}")
    sizes = {"imsize": 64, "batch_size": opt.batch_size, "z_dim": opt.z_dim}
    widths = {"g_conv_dim": opt.ngf, "d_conv_dim": opt.ndf, "adv_loss": "hinge"}
    return [f"--{name}={value}" for name, value in (sizes | widths).items()]


def _biggan_words(opt: Namespace, folder: str) -> list[str]:
    """The settings of its scripts, for CIFAR-10 at 32 pixels and for ImageNet above."""
    name = BIGGAN_SETS.get(opt.crop_size)
    if name is None:
        raise UserError(f"BigGAN-PyTorch has no shape for --crop_size {opt.crop_size}")
    sizes = {
        "dataset": name,
        "batch_size": opt.batch_size,
        "G_ch": opt.ngf,
        "D_ch": opt.ndf,
        "dim_z": opt.z_dim,
    }
    game = {"num_D_steps": opt.n_critic, "G_ortho": opt.ortho_G, "SN_eps": 1e-6, "adam_eps": 1e-6}
    words = [f"--{flag}={value}" for flag, value in (sizes | game).items()] + ["--ema", "--use_ema"]
    if opt.crop_size == 32:
        return [*words, "--G_attn=0", "--D_attn=0"]
    return [
        *words,
        "--hier",
        "--G_shared",
        f"--shared_dim={opt.shared_dim}",
        "--G_init=ortho",
        "--D_init=ortho",
    ]


WORDS = {"cycle_gan": _cycle_gan_words, "sagan": _sagan_words, "biggan": _biggan_words}
