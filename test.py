"""Make images with a trained model, and an HTML page of them:  python test.py --dataroot D --name RUN

The networks are built with the options of the training run; see `python test.py --help`.
"""

from argparse import Namespace
from pathlib import Path

from options.test_options import TestOptions, results_folder
from util import errors, log
from util.run.weight_files import prefix


def main() -> int:
    options = TestOptions()
    opt = options.parse()

    # torch is imported after the flags are checked, so that a wrong flag is reported at once
    from data import create_dataset
    from models import create_model
    from util.pages.results_page import ResultsPage
    from util.run.random_state import seed_everything

    seed_everything(opt.seed)
    loader = create_dataset(opt)
    model = create_model(opt)
    model.load_networks(prefix(opt.epoch, opt.load_iter))
    model.print_networks(opt.verbose)

    title = f"{opt.name}, {opt.phase}, epoch {opt.epoch}"
    page = ResultsPage(results_folder(opt), title, opt.display_winsize, opt.aspect_ratio, opt.save_only)
    count = int(min(opt.num_test, len(loader)))
    done = 0
    for batch in loader:
        visuals = model.test(batch)
        paths = source_paths(batch, opt.direction)
        for index, path in enumerate(paths[: count - done]):
            images = {label: images[index] for label, images in visuals.items()}
            page.add(path, domain_root(opt, path), images)
        done += len(paths)
        if done >= count:
            break
    page.save()
    options.save(opt)
    rest = "" if count == len(loader) else f" of {len(loader)} (--num_test all makes all of them)"
    log.info(f"{count} images{rest}: {results_folder(opt) / 'index.html'}")
    return 0


def source_paths(batch: dict, direction: str) -> list[str]:
    """The input files of a batch, after which the results are named."""
    keys = ("A_paths", "B_paths", "paths") if direction == "AtoB" else ("B_paths", "A_paths", "paths")
    return next(batch[key] for key in keys if key in batch)


def domain_root(opt: Namespace, path: str) -> str:
    """The data folder that contains `path`; the results keep the sub-folders below it."""
    root = Path(opt.dataroot or ".")
    folders = [root / f"{opt.phase}A", root / f"{opt.phase}B", root / opt.phase, root]
    return str(next((folder for folder in folders if Path(path).is_relative_to(folder)), root))


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
