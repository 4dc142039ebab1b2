"""The flags that training and testing share, whatever the model and the data set."""

from options.checks import PREPROCESS
from options.parser import Parser, count_or_all, number, whole
from util.cli.flag_types import gpu_ids


def add(parser: Parser) -> None:
    """Add them all, in the order of --help."""
    _run_flags(parser)
    _plugin_flags(parser)
    _data_flags(parser)
    _network_flags(parser)
    _weight_flags(parser)
    _display_flags(parser)


def _run_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("run"):
        add("--name", default="experiment_name", fresh_start=True, help="name of the run and of its folder")
        add("--checkpoints_dir", default="./checkpoints", fresh_start=True, help="folder that holds all runs")
        add("--suffix", default="", fresh_start=True, help="suffix of the name, e.g. {netG}_size{load_size}")
        add(
            "--config",
            metavar="FILE",
            fresh_start=True,
            help="YAML file of options; the command line overrides it",
        )
        add("--seed", type=whole(0, 2**63 - 1), default=0, help="seed of all random number generators")
        add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="device to compute on")
        add(
            "--gpu_ids",
            type=gpu_ids,
            default="0",
            help="index of the GPU, -1 for the CPU; for several GPUs use torchrun",
        )
        add(
            "--amp",
            choices=("none", "bf16", "fp16"),
            default="none",
            help="data type of mixed-precision computing",
        )
        add(
            "--fast",
            choices=("auto", "off"),
            default="auto",
            help="use the faster implementations of the same mathematics (C++ convolutions, caches); "
            "off is for comparisons",
        )
        parser.flag("--compile", "compile the networks with torch.compile: a slower start, then faster steps")
        parser.flag("--verbose", "print the architecture of the networks")


def _plugin_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("plugins"):
        add(
            "--model",
            default="cycle_gan",
            for_testing=True,
            help="name of the model; --list_models lists them",
        )
        add(
            "--dataset_mode",
            default="unaligned",
            for_testing=True,
            changes_pixels=True,
            help="name of the data set plugin; --list_datasets lists them",
        )
        add(
            "--plugin_path",
            action="append",
            default=[],
            metavar="FOLDER",
            for_testing=True,
            help="a further folder with plugins; can be given several times",
        )


def _data_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("data"):
        add(
            "--dataroot", metavar="FOLDER", help="folder of images, e.g. with trainA, trainB, testA and testB"
        )
        add(
            "--direction",
            choices=("AtoB", "BtoA"),
            default="AtoB",
            for_testing=True,
            changes_pixels=True,
            help="direction of the translation",
        )
        parser.flag("--serial_batches", "read the images in order instead of shuffling them")
        add(
            "--num_threads",
            type=whole(0),
            help="number of processes that load images",
        )
        add(
            "--cache",
            choices=("auto", "disk", "off"),
            default="auto",
            help="where to keep prepared images: auto, in a quarter of the free memory; disk, in a file that later "
            "runs use again; off, nowhere",
        )
        add("--batch_size", type=whole(1), default=1, help="number of images per step and process")
        add(
            "--load_size",
            type=whole(1),
            default=286,
            changes_pixels=True,
            help="size that images are scaled to",
        )
        add(
            "--crop_size",
            type=whole(1),
            default=256,
            for_testing=True,
            changes_pixels=True,
            help="size that images are cropped to after scaling",
        )
        add(
            "--max_dataset_size",
            type=count_or_all,
            default=float("inf"),
            metavar="N",
            changes_pixels=True,
            help="largest number of images to read from each folder",
        )
        add(
            "--preprocess",
            choices=PREPROCESS,
            default="resize_and_crop",
            for_testing=True,
            changes_pixels=True,
            help="how images are scaled and cropped",
        )
        parser.flag("--no_flip", "do not mirror images at random")
        parser.note_defaults(num_threads="depends on the number of CPU cores", max_dataset_size="all")
        parser.flag("--check_data", "read every image once before the start and report the broken ones")


def _network_flags(parser: Parser) -> None:
    def add(*names: str, **settings: object) -> None:
        parser.add_argument(*names, for_testing=True, **settings)  # type: ignore[arg-type]

    with parser.section("networks"):
        add(
            "--input_nc",
            type=whole(1),
            default=3,
            changes_pixels=True,
            help="number of channels of the input images: 3 for RGB, 1 for grey",
        )
        add(
            "--output_nc",
            type=whole(1),
            default=3,
            changes_pixels=True,
            help="number of channels of the output images",
        )
        add("--ngf", type=whole(1), default=64, help="number of filters in the generator's last layer")
        add("--ndf", type=whole(1), default=64, help="number of filters in the discriminator's first layer")
        add("--netG", default="resnet_9blocks", help=NET_G)
        add("--netD", default="basic", help=NET_D)
        add(
            "--n_layers_D",
            type=whole(1),
            default=3,
            help="number of layers of the discriminator with --netD n_layers",
        )
        add("--norm", default="instance", help="normalisation layers: instance, batch, syncbatch or none")
        add(
            "--init_type",
            default="normal",
            help="initialisation of the weights: normal, xavier, kaiming, orthogonal, or default for torch's own",
        )
        add("--init_gain", type=number(above=0), default=0.02, help="scale of the initial weights")
        parser.flag("--no_dropout", "do not use dropout in the generator", for_testing=True)


# the names of the families, read by --help without torch
NET_G = "architecture of the generator: resnet_9blocks, resnet_6blocks, unet_256 or unet_128; noise-to-image models have their own"
NET_D = "architecture of the discriminator: basic (70 x 70 PatchGAN), n_layers or pixel; noise-to-image models have their own"


def _weight_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("which weights to load"):
        add(
            "--epoch",
            default="latest",
            fresh_start=True,
            help="number of the epoch whose weights are loaded, or latest",
        )
        add(
            "--load_iter",
            type=whole(0),
            default=0,
            fresh_start=True,
            help="if above 0, load the weights saved as iter_<load_iter> instead",
        )


def _display_flags(parser: Parser) -> None:
    add = parser.add_argument
    with parser.section("display"):
        add(
            "--display_winsize",
            type=whole(16),
            default=256,
            help="width of an image on pages and in visdom, in pixels",
        )
        parser.flag("--use_wandb", "also send losses and images to Weights & Biases")
        add(
            "--wandb_project_name",
            default="CycleGAN-and-pix2pix",
            help="name of the project at Weights & Biases",
        )
