"""Rejects values and combinations of options that cannot work, before anything is built."""

import os
import re
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

from util.cli.packages import require
from util.cli.suggest import unknown
from util.errors import UserError
from util.free_memory import BYTES_PER_PIXEL, available_bytes, in_words
from util.run import weight_files

PREPROCESS = tuple(
    "resize_and_crop crop scale_width scale_width_and_crop none resize center long_edge".split()
)
AUGMENTATIONS = ("color", "translation", "cutout")
LONGEST_NAME = 200  # bytes; file systems allow 255, and prefixes and file name endings are added


def with_suffix(opt: Namespace) -> str:
    """The run's name with --suffix appended, in which each {option} is replaced by its value."""
    try:
        fields = [(name or "", spec or "") for _, name, spec, _ in Formatter().parse(opt.suffix)]
        if any(re.search(r"\d{3}|[{}]", spec) for _, spec in fields):
            raise ValueError("a width of more than two digits")
        return f"{opt.name}_{opt.suffix.format(**vars(opt))}"
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"--suffix {opt.suffix} must contain names of options in braces, e.g. {{netG}}: {error}"
        ) from error


def run_folder(opt: Namespace) -> Path:
    """The folder of the run.

    Raises:
        UserError: --name is not a path inside --checkpoints_dir.
    """
    if not _stays_inside(opt.name):
        raise UserError(
            f"--name {opt.name or repr('')} must be a name inside {opt.checkpoints_dir}, "
            f"without .. or a leading / and with at most {LONGEST_NAME} bytes"
        )
    return Path(opt.checkpoints_dir) / opt.name


def there_is_a_run(opt: Namespace) -> None:
    """Refuse a --name that has no folder of a trained or imported run."""
    folder = run_folder(opt)
    if not folder.is_dir():
        raise UserError(f"there is no run {folder}: check --name and --checkpoints_dir, or train first")


def no_dataroot(opt: Namespace) -> UserError:
    """The error where --dataroot is needed and not given."""
    if not opt.isTrain:
        there_is_a_run(opt)  # the reason may be a wrong --name, because some runs need no data
    return UserError(
        "--dataroot is missing: name the folder of images, e.g. --dataroot ./datasets/horse2zebra"
    )


def sizes(opt: Namespace) -> None:
    if opt.preprocess in ("resize_and_crop", "scale_width_and_crop") and opt.load_size < opt.crop_size:
        raise UserError(
            f"--load_size {opt.load_size} is smaller than --crop_size {opt.crop_size}: "
            f"images are scaled before they are cropped, so use --load_size {opt.crop_size} or more"
        )


def memory(opt: Namespace) -> None:
    """Refuse sizes whose smallest tensors do not fit into the free memory, before they are allocated."""
    free = available_bytes()
    for flags, needed in _least_bytes(opt):
        if free is not None and needed > free:
            values = " ".join(f"--{flag} {getattr(opt, flag)}" for flag in flags)
            raise UserError(
                f"{values} needs at least {in_words(needed)} of memory, and {in_words(free)} are free: use smaller values"
            )


def _least_bytes(opt: Namespace) -> Iterator[tuple[tuple[str, ...], int]]:
    """(flags, bytes): one scaled image, one batch of crops, and one layer of each network."""
    if "resize" in opt.preprocess:  # with the others, the size depends on the image; see data.transforms
        yield ("load_size",), BYTES_PER_PIXEL * opt.load_size**2
    channels = max(opt.input_nc, opt.output_nc)
    if opt.image_side is not None:
        bytes_per_pixel = max(4 * channels, BYTES_PER_PIXEL)
        yield ("batch_size", "crop_size"), bytes_per_pixel * opt.batch_size * opt.image_side**2
    for flag in ("ngf", "ndf"):  # most families have layers of 4 times as many channels, with 3 x 3 weights
        yield (flag,), 4 * 9 * (4 * getattr(opt, flag)) ** 2
    if "steps" in opt and opt.image_side is not None:
        frames = opt.frames if opt.gif else opt.steps
        yield ("columns", "steps", "frames"), 3 * opt.columns * frames * opt.image_side**2


def plain_names(opt: Namespace) -> None:
    for flag, value in (("--phase", opt.phase), ("--epoch", opt.epoch)):
        if not _stays_inside(value):
            raise UserError(f"{flag} {value or repr('')} must be a name, without .. or a leading /")


def place_for_a_run(opt: Namespace) -> None:
    writable(Path(opt.checkpoints_dir), "--checkpoints_dir")
    folder = run_folder(opt)
    if folder.is_file():
        raise UserError(f"--name {opt.name}: {folder} is a file, not a folder; choose another name")


def links_stay_inside(opt: Namespace) -> None:
    """Refuse a run folder that training cannot write without leaving it, or in which reading would wait for ever."""
    folder = run_folder(opt)
    root = os.path.realpath(folder)
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            real = os.path.realpath(path)
            if not real.startswith(os.path.join(root, "")):
                raise UserError(
                    f"{path} is a link to {real}, outside the run: replace it by what it links to, or remove it"
                )
            if os.path.exists(real) and not (os.path.isfile(real) or os.path.isdir(real)):
                raise UserError(f"{path} is neither a file nor a folder: remove it")
        if "wandb" in folders:
            folders.remove("wandb")  # W&B links to its logs in the home folder


def place_for_results(opt: Namespace) -> None:
    writable(Path(opt.results_dir), "--results_dir")
    require("dominate", "the page of results")


def saved_weights(opt: Namespace) -> None:
    """Refuse to resume a run that does not exist or does not hold the chosen weights."""
    prefix = weight_files.prefix(opt.epoch, opt.load_iter)
    # the latest state has no prefix; it is checked where it is read
    if opt.continue_train and (prefix != "latest" or not run_folder(opt).is_dir()):
        weight_files.check_saved(run_folder(opt), prefix)


def accumulation(opt: Namespace) -> None:
    for name in ("accumulate", "accumulate_G", "accumulate_D"):
        parts = getattr(opt, name) or 1
        if opt.batch_size % parts:
            raise UserError(f"--{name} {parts} must divide --batch_size {opt.batch_size}")


def epochs(opt: Namespace) -> None:
    last = opt.n_epochs + opt.n_epochs_decay
    if last < 1:
        raise UserError("--n_epochs and --n_epochs_decay are both 0: there is nothing to train")
    follows = opt.continue_train and opt.epoch == str(
        opt.epoch_count - 1
    )  # the run is finished, which it says
    if opt.epoch_count > last and not follows:
        raise UserError(
            f"--epoch_count {opt.epoch_count} is larger than the last epoch, {last} "
            "(--n_epochs + --n_epochs_decay): use a smaller --epoch_count or more epochs"
        )


def one_lipschitz_bound(opt: Namespace) -> None:
    """Refuse the gradient penalty together with spectral norm: both bound the discriminator's gradient."""
    if getattr(opt, "spectral", "none") != "none" and opt.lambda_gp > 0:
        flag = "--gan_mode wgangp" if opt.gan_mode == "wgangp" else f"--lambda_gp {opt.lambda_gp:g}"
        raise UserError(f"{flag} already bounds the discriminator's gradient: leave out --spectral")


def augmentations(opt: Namespace) -> None:
    for kind in opt.diffaug:
        if kind not in AUGMENTATIONS:
            raise UserError(unknown("--diffaug", kind, AUGMENTATIONS))


def count_classes(opt: Namespace, dataset: type) -> None:
    """Fill in --n_classes from the data set if the model has the flag and it is not given.

    Raises:
        UserError: the data set has more classes than --n_classes, or not as many as the run was trained with.
    """
    if "n_classes" not in opt:
        return
    found = dataset.count_classes(opt)  # type: ignore[attr-defined]
    if opt.n_classes is None:
        opt.n_classes = found
    elif vars(opt).get("class_names"):
        pass  # the data set matches its classes with those of the run by name
    elif found not in (0, opt.n_classes) and opt.n_classes and not opt.isTrain:
        raise UserError(
            f"{opt.dataroot} has {found} classes and the run was trained with {opt.n_classes}, so the class numbers "
            "would differ: provide one folder for each class of the run"
        )
    elif 0 < opt.n_classes < found:
        raise UserError(
            f"--n_classes {opt.n_classes} is less than the {found} classes in {opt.dataroot}: leave the flag out, or "
            "use 0 to ignore the labels"
        )


def writable(folder: Path, flag: str) -> None:
    """Reject a folder that cannot be written to, before hours of training whose results could not be saved."""
    nearest = folder
    while not nearest.exists() and nearest.parent != nearest:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"{flag} {folder}: {nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{flag} {folder}: no permission to write in {nearest}; choose another folder")


def _stays_inside(name: str) -> bool:
    """Whether a relative path stays inside the folder that it is joined to."""
    path = Path(name)
    return (
        bool(name.strip() and path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and not set(name) & {"\\", "\0", "\n"}
        and all(len(part.encode()) <= LONGEST_NAME for part in path.parts)
    )
