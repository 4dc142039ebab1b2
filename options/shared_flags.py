"""The flags that training and testing share, whatever the model and the data set."""

import math
from functools import partial

from models.nets import families
from options.checks import PREPROCESS
from options.parser import Parser, count_or_all, number, whole
from util.cli.flag_types import gpu_ids

FAST = "use the faster implementations of the same mathematics (C++ convolutions, caches); off is for comparisons"
CACHE = (
    "where to keep prepared images: auto, in memory, at most a quarter of what is free; memory, all of them; disk, in a file "
    "that later runs use again; off, nowhere"
)
INIT = "initialisation of the weights: normal, xavier, kaiming, orthogonal, or default for torch's own"


def add(parser: Parser) -> None:
    """Add them all, in the order of --help."""
    _run_flags(parser)
    _plugin_flags(parser)
    _data_flags(parser)
    _network_flags(parser)
    _weight_flags(parser)
    _display_flags(parser)


def _run_flags(parser: Parser) -> None:
    add, add_for_start = parser.option, partial(parser.option, fresh_start=True)
    with parser.section("run"):
        add_for_start("--name", str, "experiment_name", "name of the run and of its folder")
        add_for_start("--checkpoints_dir", str, "./checkpoints", "folder that holds all runs")
        add_for_start("--suffix", str, "", "suffix added to --name, e.g. {netG}_size{load_size}")
        add_for_start(
            "--config", str, None, "YAML file of options; the command line overrides it", metavar="FILE"
        )
        add("--seed", whole(0, 2**63 - 1), 0, "seed of all random number generators")
        add("--device", ("auto", "cpu", "cuda", "mps"), "auto", "device to compute on")
        add("--gpu_ids", gpu_ids, "0", "index of the GPU, -1 for the CPU; for several GPUs use torchrun")
        add("--amp", ("none", "bf16", "fp16"), "none", "data type of mixed-precision computing")
        add("--fast", ("auto", "off"), "auto", FAST)
        parser.flag("--compile", "compile the networks with torch.compile: a slower start, then faster steps")
        parser.flag("--verbose", "print the architecture of the networks")


def _plugin_flags(parser: Parser) -> None:
    add = partial(parser.option, for_testing=True)
    with parser.section("plugins"):
        add("--model", str, "cycle_gan", "name of the model; --list_models lists them")
        about = "name of the data set plugin; --list_datasets lists them"
        add("--dataset_mode", str, "unaligned", about, changes_pixels=True)
        about = "a further folder with plugins; can be given several times"
        add("--plugin_path", str, [], about, action="append", metavar="FOLDER")


def _data_flags(parser: Parser) -> None:
    add, add_for_pixels = parser.option, partial(parser.option, changes_pixels=True)
    with parser.section("data"):
        about = "folder of images, e.g. with trainA, trainB, testA and testB"
        add("--dataroot", str, None, about, metavar="FOLDER")
        add_for_pixels(
            "--direction", ("AtoB", "BtoA"), "AtoB", "direction of the translation", for_testing=True
        )
        parser.flag("--serial_batches", "read the images in order instead of shuffling them")
        add("--num_threads", whole(0), None, "number of processes that load images")
        add("--cache", ("auto", "memory", "disk", "off"), "auto", CACHE)
        add("--batch_size", whole(1), 1, "number of images per step and process")
        add_for_pixels("--load_size", whole(1), 286, "size that images are scaled to")
        about = "size that images are cropped to after scaling"
        add_for_pixels("--crop_size", whole(1), 256, about, for_testing=True)
        about = "largest number of images to read from each folder"
        add_for_pixels("--max_dataset_size", count_or_all, math.inf, about, metavar="N")
        about = "how images are scaled and cropped"
        add_for_pixels("--preprocess", PREPROCESS, "resize_and_crop", about, for_testing=True)
        parser.flag("--no_flip", "do not mirror images at random")
        parser.flag("--check_data", "read every image once before the start and report the broken ones")
    parser.note_defaults(num_threads="depends on the number of CPU cores", max_dataset_size="all")


def _network_flags(parser: Parser) -> None:
    add = partial(parser.option, for_testing=True)
    with parser.section("networks"):
        about = "number of channels of the input images: 3 for RGB, 1 for grey"
        add("--input_nc", whole(1), 3, about, changes_pixels=True)
        add("--output_nc", whole(1), 3, "number of channels of the output images", changes_pixels=True)
        add("--ngf", whole(1), 64, "number of channels of the generator next to the image")
        add("--ndf", whole(1), 64, "number of channels of the discriminator next to the image")
        add("--netG", str, "resnet_9blocks", f"architecture of the generator: {_families('generator')}")
        add("--netD", str, "basic", f"architecture of the discriminator: {_families('discriminator')}")
        add("--n_layers_D", whole(1), 3, "number of layers of the discriminator with --netD n_layers")
        add("--norm", str, "instance", "normalisation layers: instance, batch, syncbatch or none")
        add("--init_type", str, "normal", INIT)
        add("--init_gain", number(above=0), 0.02, "scale of the initial weights")
        parser.flag("--no_dropout", "do not use dropout in the generator", for_testing=True)


def _weight_flags(parser: Parser) -> None:
    add = partial(parser.option, fresh_start=True)
    with parser.section("which weights to load"):
        add("--epoch", str, "latest", "number of the epoch whose weights are loaded, or latest")
        add(
            "--load_iter",
            whole(0),
            0,
            "if above 0, load the weights saved as iter_<load_iter> instead of --epoch",
        )


def _display_flags(parser: Parser) -> None:
    add = parser.option
    with parser.section("display"):
        add("--display_winsize", whole(16), 256, "width of an image on pages and in visdom, in pixels")
        parser.flag("--use_wandb", "also send losses and images to Weights & Biases")
        add("--wandb_project_name", str, "CycleGAN-and-pix2pix", "name of the project at Weights & Biases")


def _families(kind: families.Kind) -> str:
    """The network families that have a `kind`, for help texts; torch is not imported."""
    from_noise = ", ".join(families.names(kind, "noise"))
    return f"{', '.join(families.names(kind, 'image'))}; for images from noise {from_noise}"
