"""What all entries share: the device, the flags of both sides, the peer, and models built as train.py builds them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmarks.gauge import Gauge
from scripts.benchmarks.measure import Case
from scripts.benchmarks.peers import Peer

if TYPE_CHECKING:
    from models.base_model import BaseModel, Batch

ROOT = Path(__file__).resolve().parents[2]
WARM_UPS = {"cpu": 1, "cuda": 5}  # CUDA chooses kernels, compiles and records graphs in its first runs


@dataclass(frozen=True)
class Setting:
    """What the command line asked for."""

    device: str = "cpu"
    flags: Sequence[str] = ()  # of train.py, for both forms, behind an entry's own
    fast_flags: Sequence[str] = ()  # for the fast form alone
    peer: Peer | None = None  # whom we stand beside, instead of our plain path
    gauge: Gauge = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gauge", Gauge(self.device))

    @property
    def warm_ups(self) -> int:
        """Of a form that computes on the device."""
        return WARM_UPS[self.device]

    def options(self, words: str, *, fast: bool, folder: str, dataroot: str = str(ROOT)) -> Namespace:
        """The options of a training run with the flags of an entry, as the fast form or as the plain one."""
        from options.train_options import TrainOptions

        runs = ["--checkpoints_dir", folder, "--dataroot", dataroot, "--display", "console"]
        runs += ["--device", self.device, "--fast", "auto" if fast else "off"]
        return TrainOptions().parse([*runs, *words.split(), *self.flags, *(self.fast_flags if fast else ())])


Make = Callable[[Setting], AbstractContextManager[Case]]


def build(opt: Namespace) -> BaseModel:
    """The model of a training run; equal weights for equal nets."""
    import torch

    from models import create_model

    torch.manual_seed(0)
    return create_model(opt)


def random_batch(opt: Namespace, device: str) -> Batch:
    """Images for translators and for models that start from noise, on the device."""
    import torch

    generator = torch.Generator().manual_seed(0)
    size = (opt.batch_size, 3, opt.crop_size, opt.crop_size)
    names = ("A", "B", "image")
    batch: Batch = {name: (torch.rand(size, generator=generator) * 2 - 1).to(device) for name in names}
    label = torch.arange(opt.batch_size) % max(1, vars(opt).get("n_classes") or 1)
    paths = [f"{index}.png" for index in range(opt.batch_size)]
    return batch | {"label": label.to(device), "A_paths": paths, "B_paths": paths}
