"""What all entries share: the device, the flags of both sides, and models built as train.py builds them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks.measure import Form, Gauge
from scripts.benchmarks.peers import Peer

if TYPE_CHECKING:
    from models.base_model import BaseModel, Batch

ROOT = Path(__file__).resolve().parents[2]
WARM_UPS = {"cpu": 1, "cuda": 5}  # CUDA chooses kernels, compiles and records graphs in its first runs


@dataclass(frozen=True)
class Setting:
    """What the command line asks for, with a folder and an exit stack that belong to one entry."""

    device: str = "cpu"
    flags: Sequence[str] = ()  # of train.py, for both forms, after those of the entry
    fast_flags: Sequence[str] = ()  # for the fast form only
    peer: Peer | None = None  # the repository to compare with, None = the reference path
    folder: Path = Path()
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def warm_ups(self) -> int:
        """For work on the device."""
        return WARM_UPS[self.device]

    def timed(self, work: Callable[[], object]) -> Form:
        return Gauge(self.device).timed(work)

    def options(self, words: str, *, fast: bool) -> Namespace:
        """The options of a training run with the flags of an entry; `fast` is --fast auto, else off."""
        from options.train_options import TrainOptions

        data = self.folder / "data"
        run = ["--checkpoints_dir", str(self.folder), "--dataroot", str(data if data.is_dir() else ROOT)]
        run += ["--display", "console", "--device", self.device, "--fast", "auto" if fast else "off"]
        return TrainOptions().parse([*run, *words.split(), *self.flags, *(self.fast_flags if fast else ())])


def build(opt: Namespace) -> BaseModel:
    """The model of a training run; equal nets get equal weights."""
    import torch

    from models import create_model

    torch.manual_seed(0)
    return create_model(opt)


def random_batch(opt: Namespace, device: str) -> Batch:
    """A batch with the keys of every data set: images in [-1, 1], labels and paths."""
    import torch

    generator = torch.Generator().manual_seed(0)
    size = (opt.batch_size, 3, opt.crop_size, opt.crop_size)
    batch: Batch = {
        name: (torch.rand(size, generator=generator) * 2 - 1).to(device) for name in ("A", "B", "image")
    }
    label = torch.arange(opt.batch_size) % max(1, vars(opt).get("n_classes") or 1)
    paths = [f"{index}.png" for index in range(opt.batch_size)]
    return batch | {"label": label.to(device), "A_paths": paths, "B_paths": paths}
