"""Train a GAN:  python train.py --model cycle_gan --dataroot ./datasets/horse2zebra --name h2z

`python train.py --help` lists the flags, `--list_models` the models, `--model NAME --help` a model's own flags.
"""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from options.train_options import TrainOptions
from util import errors, log

if TYPE_CHECKING:  # main() imports these, and torch, after checking the flags
    from data.loader import Loader
    from models.base_model import BaseModel
    from util.run.interrupt import Interruption
    from util.run.lifecycle import Run
    from util.run.run_lock import RunLock
    from util.visualizer import Visualizer


def main() -> int:
    options = TrainOptions()
    opt = options.parse()

    from util import distributed
    from util.run.interrupt import exit_on_signals
    from util.run.run_lock import RunLock

    device = distributed.pick_device(opt.device, opt.gpu_ids)
    distributed.start(device)
    with exit_on_signals(), RunLock(Path(opt.checkpoints_dir), opt.name) as lock:
        log.info(options.describe(opt))
        distributed.describe(opt.batch_size, device, opt.gpu_ids)
        exit_code = start(opt, options, lock)
        distributed.stop()
        return exit_code


def start(opt: Namespace, options: TrainOptions, lock: RunLock) -> int:
    """Build the data and the model, train, save and return the exit code; the run's folder is locked."""
    from data import create_dataset
    from data.fixed_batch import fixed_batch
    from models import create_model
    from util import distributed
    from util.run import lifecycle
    from util.run.interrupt import Interruption
    from util.run.random_state import seed_everything
    from util.visualizer import create_visualizer

    seed_everything(opt.seed)
    loader = create_dataset(opt)
    model = create_model(opt)
    model.print_networks(opt.verbose)
    log.info(f"{len(loader)} images per epoch, on {model.device}")

    size = loader.images_per_epoch
    run = lifecycle.begin(opt, model, images_per_epoch=size)
    if run.is_finished:
        log.info(lifecycle.already_finished(opt, run))
        return 0
    options.save(opt)
    run.has_options = log.is_main()
    visualizer = create_visualizer(opt, run, images_per_epoch=size, fixed=partial(fixed_batch, opt))
    background = run.background if opt.fast == "auto" else nullcontext()
    with Interruption() as stop, background, closing(visualizer):
        begun = run.clock.images
        try:
            finished = train(opt, loader, model, run, visualizer, stop, lock)
        except errors.UserError:
            # between two steps the state is whole, but saving needs all ranks, which may not have got the error
            if not loader.failed or distributed.world_size() > 1:
                raise
            finished = False
            if not stop.signal:  # a signal to the process group also ends the data workers
                if run.clock.images > begun:
                    run.save("latest")
                    log.info(lifecycle.final_message(opt, run, finished=finished))
                raise
        if not finished:
            run.save("latest")
    log.info(lifecycle.final_message(opt, run, finished=finished))
    return 0 if finished else stop.exit_code


def train(
    opt: Namespace,
    loader: Loader,
    model: BaseModel,
    run: Run,
    visualizer: Visualizer,
    stop: Interruption,
    lock: RunLock,
) -> bool:
    """Train to the end of the last epoch; return False if a signal asked to stop earlier."""
    clock, schedule, begun = run.clock, run.schedule, run.clock.images
    log.info("the first step is under way; it takes longer than the others")
    for epoch in clock.epochs(run.last_epoch):
        model.update_learning_rate(schedule.factor(epoch))
        for batch in clock.timed(loader.epoch(epoch, skip=clock.epoch_images)):
            model.optimize_parameters(batch)
            clock.advance(loader.step_images)
            if schedule.watches:
                schedule.observe(model.generator_loss())
            if run.losses_due(opt.print_freq):
                visualizer.scalars(model.get_current_losses(), clock)
            if clock.due(opt.display_freq):
                visualizer.images(model.get_current_visuals(), clock)
            visualizer.step(clock)
            lock.refresh()
            if clock.due(opt.save_latest_freq):
                run.save(f"iter_{clock.images}" if opt.save_by_iter else "latest")
            if stop.requested():
                visualizer.images(model.get_current_visuals(), clock)
                return False
        # a run that was killed after its last step has no current images when it resumes
        if epoch == run.last_epoch and clock.images > begun:
            visualizer.images(model.get_current_visuals(), clock)
        schedule.end_epoch()
        clock.end_epoch()
        log.info(f"end of epoch {epoch} / {run.last_epoch}: {run.progress()}")
        if epoch % opt.save_epoch_freq == 0 or epoch == run.last_epoch:
            run.save("latest", epoch)
    return True


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
