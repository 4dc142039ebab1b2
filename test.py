"""Make images with a trained model, and an HTML page of them:  python test.py --dataroot D --name RUN

The networks are built with the options of the training run; see `python test.py --help`.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from options.test_options import TestOptions, results_folder
from util import errors, log
from util.run.weight_files import prefix

if TYPE_CHECKING:  # main() imports these, and torch, after checking the flags
    from torch import Tensor

    from data.loader import Loader
    from models.base_model import BaseModel
    from util.pages.results_page import ResultsPage

OUT_OF_MEMORY = (
    "use smaller images (--preprocess scale_width --load_size 512, or a smaller --load_size and --crop_size), "
    "--batch_size 1, or --device cpu"
)


def main() -> int:
    options = TestOptions()
    opt = options.parse()

    # torch is imported after the flags are checked, so that a wrong flag is reported at once
    from data import create_dataset
    from models import create_model
    from util.pages.html import gammas
    from util.pages.links import add_to_training_page, links_of_results
    from util.pages.results_folder import describe_results, inputs_of, new_results
    from util.pages.results_page import ResultsPage
    from util.run.random_state import seed_everything

    seed_everything(opt.seed)
    loader = create_dataset(opt)
    model = create_model(opt)
    model.load_networks(prefix(opt.epoch, opt.load_iter))
    model.print_networks(opt.verbose)

    count = int(min(opt.num_test, len(loader)))
    folder = results_folder(opt)
    with new_results(folder, inputs_of(opt)) as new_folder:
        page = ResultsPage(
            new_folder,
            title=opt.name,
            subtitle=describe_results(opt),
            image_width=opt.display_winsize,
            aspect_ratio=opt.aspect_ratio,
            save_only=opt.save_only,
            links=links_of_results(folder.parent, folder.name, model.save_dir),
            options=vars(opt),
            gammas=gammas(model.scalars()),
        )
        try:
            make_images(opt, model, loader, page, count)
        finally:
            page.save()
    options.save(opt)
    add_to_training_page(model.save_dir, folder)
    rest = "" if count == len(loader) else f" of {len(loader)} (--num_test all makes all of them)"
    log.info(f"{count} image{'s' * (count != 1)}{rest}: {folder / 'index.html'}")
    return 0


def make_images(opt: Namespace, model: BaseModel, loader: Loader, page: ResultsPage, count: int) -> None:
    """Add the images that the model makes from the first `count` items to the page."""
    from util.display.progress import Progress

    done, told = 0, False
    with Progress(count) as progress, errors.out_of_memory(OUT_OF_MEMORY):
        for batch in loader:
            visuals = model.test(batch)
            paths = source_paths(batch, opt.direction)[: count - done]
            for index, path in enumerate(paths):
                images = {label: images[index] for label, images in visuals.items()}
                page.add(path, domain_root(opt, path), images)
            if not told and opt.preprocess == "none" and (note := about_resampling(paths[0], visuals)):
                told = True
                progress.info(note)
            done += len(paths)
            progress.update(len(paths))
            if done >= count:
                break


def about_resampling(path: str, visuals: dict[str, Tensor]) -> str:
    """The sentence about the sides that the networks need, if those of this image are different; otherwise empty."""
    from util.imaging.images import image_size

    stored, made = image_size(Path(path)), next(iter(visuals.values())).shape
    if stored is None or sorted(stored) == sorted(made[2:]):  # a photograph may be turned upright
        return ""
    sizes = f"{stored[0]} x {stored[1]} to {made[3]} x {made[2]} pixels"
    return f"images are resized to sides that are multiples of 4, {path} for example from {sizes}"


def source_paths(batch: dict, direction: str) -> list[str]:
    """The input files of a batch, after which the results are named."""
    keys = ("A_paths", "B_paths", "paths") if direction == "AtoB" else ("B_paths", "A_paths", "paths")
    return next(batch[key] for key in keys if key in batch)


def domain_root(opt: Namespace, path: str) -> str:
    """The data folder that contains `path`; the results keep the sub-folders below it."""
    root = Path(opt.dataroot or ".")
    if root.is_file():
        return str(root.parent)
    folders = [root / f"{opt.phase}A", root / f"{opt.phase}B", root / opt.phase, root]
    return str(next((folder for folder in folders if Path(path).is_relative_to(folder)), root))


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
