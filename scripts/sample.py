"""Make sheets of images with a trained model that starts from noise, and a page that shows them.

python scripts/sample.py --name RUN [--sheets classes,truncation] [--gif]

The networks are built with the options of the run. `python scripts/sample.py --help` lists the flags.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from options.sample_options import SampleOptions
from options.test_options import results_folder
from util import errors, log
from util.run.weight_files import prefix

if TYPE_CHECKING:
    import numpy as np

    from models.latent_model import LatentModel
    from util.imaging.sheets import Sheet


def main() -> int:
    options = SampleOptions()
    opt = options.parse()

    # torch is imported only after the flags are checked
    from models import create_model
    from util.imaging import sheets
    from util.pages.html import gammas
    from util.run.random_state import seed_everything

    plan = sheets.Plan(
        z_dim=opt.z_dim,
        n_classes=opt.n_classes,
        classes=tuple(opt.labels),
        seed=opt.seed,
        truncation=opt.truncation,
        columns=opt.columns,
        steps=opt.steps,
        truncations=tuple(opt.truncations),
        class_names=tuple(opt.class_names),
    )
    wanted = sheets.make(opt.sheets, plan)
    if opt.gif:
        wanted.append(sheets.loop(plan, frames=opt.frames, fps=opt.fps))
    seed_everything(opt.seed)
    model = cast("LatentModel", create_model(opt))
    model.load_networks(prefix(opt.epoch, opt.load_iter))
    model.print_networks(opt.verbose)

    start = time.perf_counter()
    drawn = draw_all(model, wanted, opt)
    seconds = time.perf_counter() - start
    count = sum(len(images) for _, images in drawn)
    log.info(f"{count} images in {seconds:.1f} s, {count / seconds:.0f} per second")

    write_page(opt, drawn, gammas(model.scalars()))
    options.save(opt)
    return 0


def write_page(opt: Namespace, drawn: list[tuple[Sheet, np.ndarray]], gammas: str) -> None:
    """Save the sheets and their page in the folder of results."""
    from util.pages.links import add_to_training_page, links_of_results
    from util.pages.results_folder import describe_results, inputs_of, new_results
    from util.pages.sheet_page import SheetPage

    folder, run_folder = results_folder(opt), Path(opt.checkpoints_dir, opt.name)
    with new_results(folder, inputs_of(opt)) as new_folder:
        links = links_of_results(folder.parent, folder.name, run_folder)
        page = SheetPage(new_folder, opt.name, describe_results(opt), links, vars(opt), gammas)
        for sheet, images in drawn:
            page.add(sheet, images)
        page.save()
    add_to_training_page(run_folder, folder)
    log.info(str(folder / "index.html"))


def draw_all(model: LatentModel, wanted: list[Sheet], opt: Namespace) -> list[tuple[Sheet, np.ndarray]]:
    """The sheets with their images, without those that the model cannot make; UserError if --sheets names one."""
    from util.pages.sheet_page import draw

    drawn = []
    for sheet in wanted:
        # test() also computes attention in a second pass, which only some sheets show
        make = model.test if sheet.shows != "fake" else lambda batch: {"fake": model.generate(batch)}
        images = draw(make, sheet, opt.batch_size)
        if images is not None:
            log.info(f"{sheet.name}: {len(images)} images")
            drawn.append((sheet, images))
        elif sheet.name in opt.sheets:
            raise errors.UserError(
                f"--sheets {sheet.name} needs attention, which --name {opt.name} does not have: leave this sheet out"
            )
    return drawn


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
