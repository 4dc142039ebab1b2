"""A training run: how it starts or resumes, and how it is saved."""

import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from torch import nn

from util import distributed, files, log
from util.background import Background
from util.clock import Clock
from util.errors import RunFault, UserError
from util.run import checkpoint, rollback, weight_files, weights
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

    def learning_rates(self) -> dict[str, float]: ...


@dataclass
class Run:
    """The objects whose state makes up a run, and the files that this state is saved to."""

    model: Model
    clock: Clock
    schedule: Schedule
    checkpoint: Checkpoint
    resumed: bool = False
    save_states: bool = False  # whether numbered saves contain the whole state
    keep_last: int = 0  # how many numbered saves to keep; 0 means all
    images_per_epoch: int = 0  # 0 if unknown
    has_options: bool = (
        False  # whether the folder holds the files of options, which vanish only with the folder
    )
    background: Background = field(default_factory=Background)

    @property
    def last_epoch(self) -> int:
        return self.schedule.n_epochs + self.schedule.n_epochs_decay

    @property
    def is_finished(self) -> bool:
        return self.clock.epoch > self.last_epoch

    def losses_due(self, print_freq: int) -> bool:
        """Whether to report losses after this step: every `print_freq` images, in each epoch, and at the end."""
        if self.clock.due(print_freq):
            return True
        ends_epoch = self.clock.epoch_images >= self.images_per_epoch
        is_last = self.clock.epoch == self.last_epoch
        return ends_epoch and (is_last or not self.clock.was_due_in_epoch(print_freq))

    def progress(self) -> str:
        """The time, the learning rates of this epoch, and the time that the rest of the training will take."""
        rates = dict.fromkeys(f"{rate:.3g}" for rate in self.model.learning_rates().values())
        left_s = self.clock.left_s(self.last_epoch, self.images_per_epoch)
        rest = f", about {timedelta(seconds=round(left_s))} left" if left_s else ""
        return f"{time.strftime('%Y-%m-%d %H:%M:%S')}, learning rate {' and '.join(rates)}{rest}"

    def save(self, *prefixes: int | str) -> None:
        """Write `<prefix>_net_<name>.pth` for each prefix, then latest_state.pt; every rank must call it.

        If the background is on, the files are written from a copy while training continues.

        Raises:
            RunFault: a loss or a weight is not finite, or a file of this save or of the previous one cannot be
                written; existing files are left unchanged. Or the folder was removed.
        """
        if self.has_options and not any(self.model.save_dir.glob("*opt.*")):
            raise RunFault(
                f"{self.model.save_dir} was removed or renamed while the run was going on, so nothing can be saved "
                "there: start the run again, or put the folder back and use --continue_train"
            )
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
        state = self.checkpoint.state_dict()
        for prefix in prefixes:
            if self.save_states and prefix != "latest":
                contents[self.model.save_dir / f"{prefix}_state.pt"] = state
        contents[self.checkpoint.path] = state
        if log.is_main():
            if self.background.is_on:
                contents = snapshot(contents)
            self.background.do("save", partial(_write, contents, self._superseded(prefixes)))
        distributed.barrier()

    def _superseded(self, prefixes: Sequence[int | str]) -> list[Path]:
        """The files of numbered saves that --keep_last removes after a save with these prefixes."""
        if not self.keep_last or prefixes == ("latest",):
            return []
        folder = self.model.save_dir
        saved = {prefix for prefix, _ in weights.saved(folder)} | set(map(str, prefixes))
        old = rollback.superseded(saved, self.keep_last)
        names = [name for prefix in old for name in (*self.model.network_files(prefix), f"{prefix}_state.pt")]
        return [folder / name for name in names]


def _write(contents: dict[Path, object], superseded: Iterable[Path]) -> None:
    checkpoint.save_all(contents)
    for path in superseded:
        path.unlink(missing_ok=True)


def begin(opt: Namespace, model: Model, *, images_per_epoch: int = 0) -> Run:
    """Start a new run, or with --continue_train resume the run of this name.

    `images_per_epoch` gives the position of a numbered save that holds weights alone.

    Raises:
        UserError: there is nothing to resume, or it does not fit the options.
    """
    clock = Clock(epoch=opt.epoch_count)
    schedule = Schedule(opt.lr_policy, opt.n_epochs, opt.n_epochs_decay, opt.lr_decay_iters)
    parts: dict[str, checkpoint.Stateful] = {"model": model, "clock": clock, "schedule": schedule}
    per_rank: dict[str, checkpoint.Stateful] = {"random": RandomState(), "local": model.local_state}
    run = Run(model, clock, schedule, Checkpoint(model.save_dir, parts, per_rank))
    run.save_states, run.keep_last = opt.save_states, opt.keep_last
    run.images_per_epoch = images_per_epoch
    seed_everything(opt.seed + distributed.rank())  # the nets are equal on all ranks; noise must not be
    if opt.continue_train:
        _resume(opt, run)
    else:
        _start(opt, run)
    return run


def final_message(opt: Namespace, run: Run, *, finished: bool) -> str:
    """The run's folder, or the command that resumes the run."""
    if finished:
        return f"done: {run.model.save_dir}"
    return f"saved at epoch {run.clock.epoch}, image {run.clock.images}; resume with: {_resume_command(opt)}"


def already_finished(opt: Namespace, run: Run) -> str:
    """What to do about a run that has no epochs left."""
    return (
        f"the run {run.model.save_dir} is finished: its {run.last_epoch} epochs are trained (--n_epochs "
        f"{opt.n_epochs} and --n_epochs_decay {opt.n_epochs_decay}); to train longer, give more, for example "
        f"{_resume_command(opt)} --n_epochs {opt.n_epochs + max(1, run.last_epoch)}"
    )


def _resume_command(opt: Namespace) -> str:
    folder = "" if opt.checkpoints_dir == "./checkpoints" else f" --checkpoints_dir {opt.checkpoints_dir}"
    return f"python train.py --continue_train --name {opt.name}{folder}"


def _start(opt: Namespace, run: Run) -> None:
    folder = run.model.save_dir
    if opt.init_from:
        folders = Path(opt.init_from), Path(opt.checkpoints_dir, opt.init_from)
        run.model.init_networks(folders[0] if folders[0].is_dir() else folders[1], opt.epoch)
    distributed.barrier()  # all ranks have read --init_from, which may be the folder that is moved now
    if log.is_main() and (run.checkpoint.path.exists() or weights.saved(folder)):
        log.info(f"an earlier run of this name was moved to {files.set_aside(folder)}")
    elif log.is_main():
        files.set_aside(folder / "loss_log.txt")  # of an attempt that ended before its first save


def _resume(opt: Namespace, run: Run) -> None:
    prefix = weight_files.prefix(opt.epoch, opt.load_iter)
    state = run.model.save_dir / f"{prefix}_state.pt"
    if state.exists():
        run.checkpoint.load(state)
        processes = distributed.world_size()
        if run.clock.epoch_images % (opt.batch_size * processes):
            raise UserError(
                f"the run stopped after {run.clock.epoch_images} images of epoch {run.clock.epoch}, which is not a whole "
                f"number of steps of --batch_size {opt.batch_size} x {processes} processes: resume it with its own "
                "batch size and number of processes"
            )
        run.resumed = True
    else:
        _load_weights(opt, run, prefix)
    if run.is_finished:
        return
    if run.resumed:
        log.info(f"resuming at epoch {run.clock.epoch}, after {run.clock.images} images")
    if prefix != "latest" or not state.exists():
        _set_aside_later(run, latest=prefix != "latest")


def _load_weights(opt: Namespace, run: Run, prefix: str) -> None:
    """Load weights alone, and set the clock to the end of a numbered epoch, or to the image of --load_iter."""
    weight_files.check_saved(run.model.save_dir, prefix)
    run.model.load_networks(prefix)
    clock, run.resumed = run.clock, prefix != "latest"
    if opt.load_iter:
        step = opt.batch_size * distributed.world_size()
        clock.images = opt.load_iter
        if run.images_per_epoch and clock.epoch == 1:
            epochs, within = divmod(opt.load_iter, run.images_per_epoch)
            clock.epoch += epochs
            clock.epoch_images = within // step * step
    else:
        clock.images = (clock.epoch - 1) * run.images_per_epoch
    advice = "; set the epoch with --epoch_count" if clock.epoch == 1 and not opt.load_iter else ""
    log.warn(
        f"only the weights {run.model.save_dir / prefix}_net_*.pth were loaded: optimizers, schedule and image "
        f"pools start from the beginning{advice}"
    )


def _set_aside_later(run: Run, *, latest: bool) -> None:
    """Set aside what was saved after the position of the run, and save that position as the latest one."""
    distributed.barrier()  # all ranks have read the files
    if log.is_main():
        aside = rollback.set_aside_later(run.model.save_dir, run.clock, latest=latest)
        if aside:
            log.info(f"what the run saved later is in {aside}, with copies of its logs")
    if latest:
        run.save("latest")
