"""Train a GAN:  python train.py --model cycle_gan --dataroot ./datasets/horse2zebra --name h2z

`python train.py --help` lists the flags, `--list_models` the models, `--model NAME --help` a model's own.
"""

from pathlib import Path

from options.train_options import TrainOptions
from util import errors, log


def main() -> int:
    options = TrainOptions()
    opt = options.parse()

    # torch is loaded after the flags are found to be right
    from data import create_dataset
    from models import create_model
    from util import distributed, runs
    from util.interrupt import Interruption
    from util.random_state import seed_everything

    device = distributed.pick_device(opt.device, opt.gpu_ids)
    distributed.start(device)
    seed_everything(opt.seed)
    log.info(options.describe(opt))
    distributed.describe(opt.batch_size, device)

    loader = create_dataset(opt)
    model = create_model(opt)
    model.print_networks(opt.verbose)
    last_epoch = opt.n_epochs + opt.n_epochs_decay
    log.info(f"{len(loader)} images an epoch, on {device}")

    run = runs.begin(opt, model)
    options.save(opt)
    show = runs.visualizer(opt, run, images_per_epoch=loader.images_per_epoch, last_epoch=last_epoch)
    clock = run.clock
    with Interruption() as stop:
        for epoch in clock.epochs(last_epoch):
            model.update_learning_rate(run.schedule.factor(epoch))
            for batch in clock.timed(loader.epoch(epoch, skip=clock.epoch_images)):
                model.optimize_parameters(batch)
                clock.advance(loader.step_images)
                if run.schedule.watches:
                    run.schedule.observe(model.generator_loss())
                if clock.due(opt.print_freq):
                    show.scalars(model.get_current_losses(), clock)
                if clock.due(opt.display_freq):
                    show.images(model.get_current_visuals(), clock)
                show.step(clock)
                if clock.due(opt.save_latest_freq):
                    run.save(f"iter_{clock.images}" if opt.save_by_iter else "latest")
                if stop.requested():
                    return runs.leave(opt, run, show, stop.exit_code)
            run.schedule.end_epoch()
            clock.end_epoch()
            if epoch % opt.save_epoch_freq == 0 or epoch == last_epoch:
                run.save("latest", epoch)
    show.close()
    log.info(f"done: {Path(opt.checkpoints_dir) / opt.name}")
    distributed.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
