"""Train a GAN:  python train.py --model cycle_gan --dataroot ./datasets/horse2zebra --name h2z

`python train.py --help` lists the flags, `--list_models` the models, `--model NAME --help` a model's own.
"""

from __future__ import annotations

from argparse import Namespace
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from options.train_options import TrainOptions
from util import errors, log

if TYPE_CHECKING:  # torch is loaded after the flags are found to be right
    from data.loader import Loader
    from util.run.interrupt import Interruption
    from util.run.lifecycle import Run
    from util.visualizer import Visualizer


def main() -> int:
    options = TrainOptions()
    opt = options.parse()

    from data import create_dataset
    from models import create_model
    from util import distributed
    from util.run import lifecycle
    from util.run.interrupt import Interruption
    from util.run.random_state import seed_everything
    from util.visualizer import create_visualizer

    device = distributed.pick_device(opt.device, opt.gpu_ids)
    distributed.start(device)
    seed_everything(opt.seed)
    log.info(options.describe(opt))
    distributed.describe(opt.batch_size, device)
    loader = create_dataset(opt)
    model = create_model(opt)
    model.print_networks(opt.verbose)
    log.info(f"{len(loader)} images an epoch, on {device}")

    run = lifecycle.begin(opt, model)
    options.save(opt)
    show = create_visualizer(opt, run, images_per_epoch=loader.images_per_epoch)
    behind = run.background if opt.fast == "auto" else nullcontext()
    with Interruption() as stop, behind, closing(show):
        try:
            finished = learn(opt, loader, run, show, stop)
        except errors.RunFault:
            # a scheduler's signal ends the data workers, too; several ranks cannot know of each other's
            if not stop.signal or distributed.world_size() > 1:
                raise
            finished = False
        if not finished:
            run.save("latest")
    distributed.stop()
    log.info(lifecycle.farewell(opt, run, finished=finished))
    return 0 if finished else stop.exit_code


def learn(opt: Namespace, loader: Loader, run: Run, show: Visualizer, stop: Interruption) -> bool:
    """Train until the last epoch is done, or False as soon as someone asks to stop."""
    model, clock, schedule = run.model, run.clock, run.schedule
    for epoch in clock.epochs(run.last_epoch):
        model.update_learning_rate(schedule.factor(epoch))
        for batch in clock.timed(loader.epoch(epoch, skip=clock.epoch_images)):
            model.optimize_parameters(batch)
            clock.advance(loader.step_images)
            if schedule.watches:
                schedule.observe(model.generator_loss())
            if clock.due(opt.print_freq):
                show.scalars(model.get_current_losses(), clock)
            if clock.due(opt.display_freq):
                show.images(model.get_current_visuals(), clock)
            show.step(clock)
            if clock.due(opt.save_latest_freq):
                run.save(f"iter_{clock.images}" if opt.save_by_iter else "latest")
            if stop.requested():
                show.images(model.get_current_visuals(), clock)
                return False
        if epoch == run.last_epoch:
            show.images(model.get_current_visuals(), clock)
        schedule.end_epoch()
        clock.end_epoch()
        log.info(
            f"end of epoch {epoch} / {run.last_epoch}, {schedule.factor(epoch):.4g} of the learning rate"
        )
        if epoch % opt.save_epoch_freq == 0 or epoch == run.last_epoch:
            run.save("latest", epoch)
    return True


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
