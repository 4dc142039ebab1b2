"""A training run: how it starts or resumes, and how it is saved."""

from argparse import Namespace
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from torch import nn

from util import distributed, files, log
from util.background import Background
from util.clock import Clock
from util.errors import UserError
from util.run import checkpoint, weight_files, weights
from util.run.checkpoint import Checkpoint
from util.run.lr_schedule import Schedule
from util.run.random_state import RandomState, seed_everything
from util.run.snapshot import snapshot


class Model(checkpoint.Stateful, Protocol):
    """What saving and resuming need of a model; models.base_model.BaseModel provides it."""

    nets: nn.ModuleDict
    save_dir: Path
    local_state: checkpoint.StateBag

    @property
    def overrides_save_networks(self) -> bool: ...

    def network_files(self, epoch: int | str) -> dict[str, dict]: ...

    def save_networks(self, epoch: int | str) -> None: ...

    def load_networks(self, epoch: int | str) -> None: ...

    def init_networks(self, folder: Path, epoch: str) -> None: ...

    def check_finite(self) -> None: ...


@dataclass
class Run:
    """The objects whose state makes up a run, and the files that this state is saved to."""

    model: Model
    clock: Clock
    schedule: Schedule
    checkpoint: Checkpoint
    resumed: bool = False
    background: Background = field(default_factory=Background)

    @property
    def last_epoch(self) -> int:
        return self.schedule.n_epochs + self.schedule.n_epochs_decay

    def save(self, *prefixes: int | str) -> None:
        """Write `<prefix>_net_<name>.pth` for each prefix, then latest_state.pt; every rank must call it.

        If the background is on, the files are written from a copy while training continues.

        Raises:
            RunFault: a loss or a weight is not finite, or a file of this save or of the previous one cannot be
                written; existing files are left unchanged.
        """
        self.background.wait("save")  # so that memory holds at most one copy
        self.model.check_finite()
        weights.check_finite(self.model.nets)
        contents: dict[Path, object] = {}
        for prefix in prefixes:
            if self.model.overrides_save_networks:
                self.model.save_networks(prefix)
            else:
                for name, state in self.model.network_files(prefix).items():
                    contents[self.model.save_dir / name] = state
        contents[self.checkpoint.path] = self.checkpoint.state_dict()
        if log.is_main():
            if self.background.is_on:
                contents = snapshot(contents)
            self.background.do("save", partial(checkpoint.save_all, contents))
        distributed.barrier()


def begin(opt: Namespace, model: Model) -> Run:
    """Start a new run, or with --continue_train resume the run of this name.

    Raises:
        UserError: there is nothing to resume, or it does not fit the options.
    """
    clock = Clock(epoch=opt.epoch_count)
    schedule = Schedule(opt.lr_policy, opt.n_epochs, opt.n_epochs_decay, opt.lr_decay_iters)
    parts: dict[str, checkpoint.Stateful] = {"model": model, "clock": clock, "schedule": schedule}
    per_rank: dict[str, checkpoint.Stateful] = {"random": RandomState(), "local": model.local_state}
    run = Run(model, clock, schedule, Checkpoint(model.save_dir, parts, per_rank))
    seed_everything(opt.seed + distributed.rank())  # the nets are equal on all ranks; noise must not be
    (_resume if opt.continue_train else _start)(opt, run)
    return run


def final_message(opt: Namespace, run: Run, *, finished: bool) -> str:
    """The run's folder, or the command that resumes the run."""
    if finished:
        return f"done: {run.model.save_dir}"
    folder = "" if opt.checkpoints_dir == "./checkpoints" else f" --checkpoints_dir {opt.checkpoints_dir}"
    return (
        f"saved at epoch {run.clock.epoch}, image {run.clock.images}; "
        f"resume with: python train.py --continue_train --name {opt.name}{folder}"
    )


def _start(opt: Namespace, run: Run) -> None:
    folder = run.model.save_dir
    if opt.init_from:
        folders = Path(opt.init_from), Path(opt.checkpoints_dir, opt.init_from)
        run.model.init_networks(folders[0] if folders[0].is_dir() else folders[1], opt.epoch)
    distributed.barrier()  # all ranks have read --init_from, which may be the folder that is moved now
    if log.is_main() and (run.checkpoint.path.exists() or weights.saved(folder)):
        log.info(f"an earlier run of this name was moved to {files.set_aside(folder)}")


def _resume(opt: Namespace, run: Run) -> None:
    prefix = weight_files.prefix(opt.epoch, opt.load_iter)
    if prefix == "latest" and run.checkpoint.path.exists():
        run.checkpoint.load()
        processes = distributed.world_size()
        if run.clock.epoch_images % (opt.batch_size * processes):
            raise UserError(
                f"the run stopped after {run.clock.epoch_images} images of epoch {run.clock.epoch}, which is not a whole "
                f"number of steps of --batch_size {opt.batch_size} x {processes} processes: resume it with its own "
                "batch size and number of processes"
            )
        run.resumed = True
        log.info(f"resuming at epoch {run.clock.epoch}, after {run.clock.images} images")
        return
    weight_files.check_saved(run.model.save_dir, prefix)
    run.model.load_networks(prefix)
    log.warn(
        f"only the weights {run.model.save_dir / prefix}_net_*.pth were loaded: optimizers, schedule and image "
        "pools start from the beginning; set the epoch with --epoch_count"
    )
