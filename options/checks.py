"""What is refused before anything is built: impossible values and combinations."""

import os
from argparse import Namespace
from pathlib import Path

from options import ahead
from util.cli.packages import require
from util.errors import UserError
from util.plugins import file, unknown
from util.run import weight_files

PREPROCESS = (
    "resize_and_crop",
    "crop",
    "scale_width",
    "scale_width_and_crop",
    "none",
    "resize",
    "center",
    "long_edge",
)
AUGMENTATIONS = ("color", "translation", "cutout")
LONGEST_NAME = 200  # bytes; file systems take 255, and prefixes and endings are added


def with_suffix(opt: Namespace) -> str:
    """The run's name with --suffix filled in."""
    try:
        return f"{opt.name}_{opt.suffix.format(**vars(opt))}"
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"--suffix {opt.suffix} names an option that does not exist: {error}") from error


def run_folder(opt: Namespace) -> Path:
    """The folder of the run, refused where the name leads out of --checkpoints_dir."""
    if not stays_inside(opt.name):
        raise UserError(
            f"--name {opt.name or repr('')} must be a plain name inside {opt.checkpoints_dir}, "
            f"without .. or a leading / and of at most {LONGEST_NAME} letters"
        )
    return Path(opt.checkpoints_dir) / opt.name


def there_is_a_run(opt: Namespace) -> None:
    """Refuse a --name that nothing was trained or imported under."""
    folder = run_folder(opt)
    if not folder.is_dir():
        raise UserError(f"there is no {folder}: check --name and --checkpoints_dir, or train first")


def stays_inside(name: str) -> bool:
    """Whether a name, or a path of names, leads to something inside the folder it is joined to."""
    path = Path(name)
    return (
        bool(name.strip() and path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and not set(name) & {"\\", "\0", "\n"}
        and all(len(part.encode()) <= LONGEST_NAME for part in path.parts)
    )


def no_dataroot(opt: Namespace) -> UserError:
    """What to say where --dataroot is needed and missing."""
    if not opt.isTrain:
        there_is_a_run(opt)  # which may be what was meant to say that no data is needed
    return UserError(
        "--dataroot is missing: name the folder of images, e.g. --dataroot ./datasets/horse2zebra"
    )


def known_plugins(opt: Namespace) -> None:
    file("model", opt.model, opt.plugin_path)
    file("dataset", opt.dataset_mode, opt.plugin_path)


def data_of_ours(opt: Namespace) -> None:
    """Refuse to do without --dataroot, which noise alone can among our own data sets."""
    # where nobody names it, it is the model's own, and that is noise at test time alone
    mode = vars(opt).get("dataset_mode")
    images = mode != "noise" and (opt.isTrain or opt.model == "test")
    if opt.dataroot is None and images and not ahead.strangers(opt):
        raise no_dataroot(opt)


def sizes(opt: Namespace) -> None:
    if opt.preprocess in ("resize_and_crop", "scale_width_and_crop") and opt.load_size < opt.crop_size:
        raise UserError(
            f"--load_size {opt.load_size} is smaller than --crop_size {opt.crop_size}: "
            f"images are scaled first and cropped then, so use --load_size {opt.crop_size} or more"
        )


def plain_names(opt: Namespace) -> None:
    for flag, value in (("--phase", opt.phase), ("--epoch", opt.epoch)):
        if not stays_inside(value):
            raise UserError(f"{flag} {value or repr('')} must be a plain name, without .. or a leading /")


def place_for_a_run(opt: Namespace) -> None:
    writable(Path(opt.checkpoints_dir), "--checkpoints_dir")
    if run_folder(opt).is_file():
        raise UserError(f"--name {opt.name}: {run_folder(opt)} is a file, not a folder; choose another name")


def place_for_results(opt: Namespace) -> None:
    writable(Path(opt.results_dir), "--results_dir")
    require("dominate", "the page of results")


def something_to_go_on_with(opt: Namespace) -> None:
    """Refuse to go on with a run of which there is nothing, or with weights it does not hold."""
    start = weight_files.prefix(opt.epoch, opt.load_iter)
    # the latest state goes without a prefix, and what is wrong with it is told where it is read
    if opt.continue_train and (start != "latest" or not run_folder(opt).is_dir()):
        weight_files.check_saved(run_folder(opt), start)


def parts_of_a_batch(opt: Namespace) -> None:
    if opt.batch_size % opt.accumulate:
        raise UserError(f"--accumulate {opt.accumulate} must divide --batch_size {opt.batch_size}")


def epochs(opt: Namespace) -> None:
    if opt.n_epochs + opt.n_epochs_decay < 1:
        raise UserError("--n_epochs and --n_epochs_decay are both 0: there is nothing to train")
    if opt.epoch_count > opt.n_epochs + opt.n_epochs_decay:
        raise UserError(
            f"--epoch_count {opt.epoch_count} lies beyond the last epoch, {opt.n_epochs + opt.n_epochs_decay} "
            "(--n_epochs + --n_epochs_decay): raise one of those"
        )


def one_bound(opt: Namespace) -> None:
    """Refuse the gradient penalty where spectral norm does its work already."""
    if getattr(opt, "spectral", "none") != "none" and _penalty_flag(opt):
        raise UserError(f"{_penalty_flag(opt)} already bounds the discriminator: leave out --spectral")


def augmentations(opt: Namespace) -> None:
    for kind in opt.diffaug:
        if kind not in AUGMENTATIONS:
            raise UserError(unknown("--diffaug", kind, AUGMENTATIONS))


def count_classes(opt: Namespace, dataset: type) -> None:
    """Fill in --n_classes from the data set, where the model asks for it and nobody has said it.

    Raises:
        UserError: the data set has more classes than the person says, or others than the run has learned.
    """
    if "n_classes" not in opt:
        return
    found = dataset.count_classes(opt)  # type: ignore[attr-defined]
    if opt.n_classes is None:
        opt.n_classes = found
    elif found not in (0, opt.n_classes) and opt.n_classes and not opt.isTrain:
        raise UserError(
            f"{opt.dataroot} has {found} classes and the run {opt.n_classes}, so their numbers would not mean the same: "
            "give a folder for each class that the run learned"
        )
    elif 0 < opt.n_classes < found:
        raise UserError(
            f"--n_classes {opt.n_classes} is less than the {found} classes in {opt.dataroot}: leave it out, or "
            "give 0 to ignore labels"
        )


def writable(folder: Path, flag: str) -> None:
    """Refuse a folder that cannot be written, before hours are spent on what would go there."""
    nearest = folder
    while not nearest.exists() and nearest.parent != nearest:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"{flag} {folder}: {nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{flag} {folder}: no permission to write in {nearest}; name another folder")


def _penalty_flag(opt: Namespace) -> str:
    """The flag that asks for the gradient penalty, or nothing."""
    if not opt.lambda_gp > 0:
        return ""
    return "--gan_mode wgangp" if opt.gan_mode == "wgangp" else "--lambda_gp"
