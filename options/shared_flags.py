"""The flags that training and testing share, whatever the model and the data set."""

import math
from functools import partial

from models.nets import families
from options.checks import PREPROCESS
from options.parser import Parser, count_or_all, number, whole
from util import trained_with
from util.cli.flag_types import gpu_ids, path

FAST = "use faster implementations of the same computations (C++, caches); off is for comparisons"
LARGEST_SIDE = 65_535  # pixels; JPEG files cannot be larger
MOST_CHANNELS = 8192
CACHE = (
    "where to keep resized images between epochs: in up to a quarter of the free memory (auto), all in memory "
    "(memory), in a file that later runs use again (disk), or nowhere (off)"
)
INIT = "initialisation of the weights: normal, xavier, kaiming, orthogonal, or default (that of torch)"


def add(parser: Parser) -> None:
    """Add all of them, in the order of --help."""
    _run_flags(parser)
    _plugin_flags(parser)
    _data_flags(parser)
    _network_flags(parser)
    _weight_flags(parser)
    _display_flags(parser)


def _run_flags(parser: Parser) -> None:
    add, add_for_start = parser.option, partial(parser.option, fresh_start=True)
    with parser.section("run"):
        add_for_start("--name", str, "experiment_name", "name of the run and of its folder", metavar="RUN")
        add_for_start("--checkpoints_dir", path, "./checkpoints", "folder that contains the runs")
        add_for_start("--suffix", str, "", "suffix added to --name, e.g. {netG}_size{load_size}")
        about = "YAML file of options; the command line overrides it"
        add_for_start("--config", path, None, about, metavar="FILE")
        add("--seed", whole(0, 2**63 - 1), 0, "seed of all random number generators")
        add("--device", ("auto", "cpu", "cuda", "mps"), "auto", "device to compute on")
        add("--gpu_ids", gpu_ids, "0", "number of the GPU, or -1 for the CPU; use torchrun for several GPUs")
        add("--amp", ("none", "bf16", "fp16"), "none", "data type for mixed precision")
        add("--fast", ("auto", "off"), "auto", FAST)
        parser.flag("--compile", "compile the networks with torch.compile: a slower start, faster steps")
        parser.flag("--verbose", "print the architecture of the networks")


def _plugin_flags(parser: Parser) -> None:
    add = partial(parser.option, for_testing=True)
    with parser.section("plugins"):
        about = "model to train or test; --list_models lists the models"
        add("--model", str, "cycle_gan", about, metavar="NAME")
        about = "kind of data set; --list_datasets lists the kinds"
        add("--dataset_mode", str, "unaligned", about, changes_pixels=True)
        about = "folder with your own models and data sets; can be given several times"
        settings = {"action": "append", "metavar": "FOLDER", "kept_outside": trained_with.real_paths}
        add("--plugin_path", path, [], about, **settings)


def _data_flags(parser: Parser) -> None:
    add, add_for_pixels = parser.option, partial(parser.option, changes_pixels=True)
    with parser.section("data"):
        about = "folder of the images, e.g. with the sub-folders trainA, trainB, testA and testB"
        add("--dataroot", path, None, about, metavar="FOLDER")
        add_for_pixels("--direction", ("AtoB", "BtoA"), "AtoB", "direction of translation", for_testing=True)
        parser.flag("--serial_batches", "read the images in order instead of shuffling them")
        add("--num_threads", whole(0, 512), None, "number of worker processes that load images")
        add("--cache", ("auto", "memory", "disk", "off"), "auto", CACHE)
        add(
            "--batch_size",
            whole(1, LARGEST_SIDE),
            1,
            "number of images per step, in each process of torchrun",
        )
        add_for_pixels("--load_size", whole(1, LARGEST_SIDE), 286, "size in pixels to scale images to")
        about = "size in pixels to crop images to after scaling"
        add_for_pixels("--crop_size", whole(1, LARGEST_SIDE), 256, about, for_testing=True)
        about = "maximum number of images from each folder"
        add_for_pixels("--max_dataset_size", count_or_all, math.inf, about, metavar="N")
        about = "how to scale and crop images"
        add_for_pixels("--preprocess", PREPROCESS, "resize_and_crop", about, for_testing=True)
        parser.flag("--no_flip", "do not flip images at random")
        parser.flag("--check_data", "read every image before training and report the broken ones")
    parser.note_defaults(
        num_threads="the number of CPU cores - 1, at most 4, or 8 with --cache off or --fast off",
        max_dataset_size="all",
    )


def _network_flags(parser: Parser) -> None:
    add = partial(parser.option, for_testing=True)
    with parser.section("networks"):
        about = "number of channels of the input images: 3 for RGB, 1 for grey"
        add("--input_nc", whole(1, MOST_CHANNELS), 3, about, changes_pixels=True)
        add(
            "--output_nc",
            whole(1, MOST_CHANNELS),
            3,
            "number of channels of the output images",
            changes_pixels=True,
        )
        add("--ngf", whole(1, MOST_CHANNELS), 64, "number of channels of the generator next to the image")
        add("--ndf", whole(1, MOST_CHANNELS), 64, "number of channels of the discriminator next to the image")
        add("--netG", str, "resnet_9blocks", f"architecture of the generator: {_families('generator')}")
        add("--netD", str, "basic", f"architecture of the discriminator: {_families('discriminator')}")
        add("--n_layers_D", whole(1, 16), 3, "number of layers of the discriminator with --netD n_layers")
        add("--norm", str, "instance", "normalisation layers: instance, batch, syncbatch or none")
        add("--init_type", str, "normal", INIT)
        add("--init_gain", number(above=0), 0.02, "scaling factor of the initial weights")
        parser.flag("--no_dropout", "do not use dropout in the generator", for_testing=True)
        about = "padding of the residual blocks of --netG resnet_9blocks and resnet_6blocks"
        add("--padding_type", ("reflect", "replicate", "zero"), "reflect", about)


def _weight_flags(parser: Parser) -> None:
    add = partial(parser.option, fresh_start=True)
    with parser.section("which weights to load"):
        add("--epoch", str, "latest", "epoch whose weights are loaded, e.g. 50, or latest")
        about = "load the weights that --save_by_iter saved after N images, instead of those of --epoch"
        add("--load_iter", whole(0), 0, about)


def _display_flags(parser: Parser) -> None:
    add = parser.option
    with parser.section("display"):
        add(
            "--display_winsize",
            whole(16, LARGEST_SIDE),
            256,
            "width in pixels of the images on pages and in visdom",
        )
        about = "also send losses and images to Weights & Biases"
        parser.flag("--use_wandb", about, kept_outside=trained_with.as_text)
        about = "name of the project at Weights & Biases"
        add("--wandb_project_name", str, "CycleGAN-and-pix2pix", about, kept_outside=trained_with.as_text)


def _families(kind: families.Kind) -> str:
    """The names of all architectures of a `kind`, for help texts; does not import torch."""
    from_noise = ", ".join(families.names(kind, "noise"))
    return f"{', '.join(families.names(kind, 'image'))}, and for noise-to-image models {from_noise}"
