"""The life of a run: begun or gone on with, saved, shown, left."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from util import distributed, files, log
from util.background import Background
from util.clock import Clock
from util.errors import UserError
from util.run import checkpoint, weight_files, weights
from util.run.checkpoint import Checkpoint
from util.run.lr_schedule import Schedule
from util.run.random_state import RandomState, seed_everything


class Model(checkpoint.Stateful, Protocol):
    """All that the training loop asks of a model."""

    nets: nn.ModuleDict
    save_dir: Path

    @property
    def local_state(self) -> checkpoint.Stateful: ...

    def save_networks(self, epoch: int | str) -> None: ...

    def load_networks(self, epoch: int | str) -> None: ...

    def optimize_parameters(self, batch: dict) -> None: ...

    def get_current_losses(self) -> dict[str, float]: ...

    def get_current_visuals(self) -> dict[str, Tensor]: ...

    def generator_loss(self) -> float: ...

    def update_learning_rate(self, factor: float) -> None: ...

    def init_networks(self, folder: Path, epoch: str) -> None: ...

    def check_finite(self) -> None: ...


@dataclass
class Run:
    """What changes from step to step, and where it is kept."""

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
        """Write `<prefix>_net_<name>.pth` and then latest_state.pt: a state on the disk has its weights beside it.

        Where the background is on, what is written is a copy of now, and training goes on meanwhile.

        Raises:
            RunFault: a loss or a weight is not finite, or a file of this save, or of the one before, cannot be
                written; the files of before stay.
        """
        self.background.wait("save")  # so that memory holds one copy
        self.model.check_finite()
        weights.check_finite(self.model.nets)
        if not self.background.is_on:
            self._save(prefixes)
            return
        with checkpoint.Deferred() as later:
            self._save(prefixes)
        self.background.do("save", later.write)

    def _save(self, prefixes: Sequence[int | str]) -> None:
        for prefix in prefixes:
            self.model.save_networks(prefix)
        self.checkpoint.save()


def begin(opt: Namespace, model: Model) -> Run:
    """A new run, or the run of this name where it stopped.

    Raises:
        UserError: there is nothing to go on with, or it does not fit.
    """
    clock = Clock(epoch=opt.epoch_count)
    schedule = Schedule(opt.lr_policy, opt.n_epochs, opt.n_epochs_decay, opt.lr_decay_iters)
    parts: dict[str, checkpoint.Stateful] = {"model": model, "clock": clock, "schedule": schedule}
    per_rank = {"random": RandomState(), "local": model.local_state}
    run = Run(model, clock, schedule, Checkpoint(model.save_dir, parts, per_rank))
    seed_everything(opt.seed + distributed.rank())  # nets are shared by now; noise must differ between ranks
    if opt.continue_train:
        _go_on(opt, run)
    else:
        _start_anew(opt, run)
    return run


def farewell(opt: Namespace, run: Run, *, finished: bool) -> str:
    """The last line of a run: where it is, or how to go on."""
    if finished:
        return f"done: {run.model.save_dir}"
    where = "" if opt.checkpoints_dir == "./checkpoints" else f" --checkpoints_dir {opt.checkpoints_dir}"
    return (
        f"saved at epoch {run.clock.epoch}, image {run.clock.images}; "
        f"go on with: python train.py --continue_train --name {opt.name}{where}"
    )


def _start_anew(opt: Namespace, run: Run) -> None:
    folder = run.model.save_dir
    if opt.init_from:
        source = Path(opt.init_from)
        source = source if source.is_dir() else Path(opt.checkpoints_dir) / source
        run.model.init_networks(source, opt.epoch)
    distributed.barrier()  # all have read, perhaps from the very folder that is moved now
    if log.is_main() and (run.checkpoint.path.exists() or weights.saved(folder)):
        log.info(f"an earlier run of this name was moved to {files.set_aside(folder)}")


def _go_on(opt: Namespace, run: Run) -> None:
    prefix = weight_files.prefix(opt.epoch, opt.load_iter)
    if prefix == "latest" and run.checkpoint.path.exists():
        run.checkpoint.load()
        _check_step(run, opt.batch_size * distributed.world_size())
        run.resumed = True
        log.info(f"going on at epoch {run.clock.epoch}, after {run.clock.images} images")
        return
    weight_files.check_saved(run.model.save_dir, prefix)
    run.model.load_networks(prefix)
    log.warn(
        "only weights were found: optimizers, schedule and image pools start anew; give --epoch_count by hand"
    )


def _check_step(run: Run, step_images: int) -> None:
    """Refuse to go on within an epoch by steps of another length, before the run's options are overwritten."""
    if run.clock.epoch_images % step_images:
        raise UserError(
            f"the run stopped after {run.clock.epoch_images} images of epoch {run.clock.epoch}, which is no "
            f"multiple of the {step_images} images of a step; go on with its own --batch_size and number of processes"
        )
