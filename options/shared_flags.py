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
    _showing_flags(parser)


def _run_flags(parser: Parser) -> None:
    with parser.section("run"):
        parser.add_argument("--name", default="experiment_name", help="name of the run, and of its folder")
        parser.add_argument("--checkpoints_dir", default="./checkpoints", help="where runs are kept")
        parser.add_argument("--suffix", default="", help="added to the name, e.g. {netG}_size{load_size}")
        parser.add_argument(
            "--config", default=None, metavar="FILE", help="YAML file of options, below the command line"
        )
        parser.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="of every random number")
        parser.add_argument(
            "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where to compute"
        )
        parser.add_argument(
            "--gpu_ids",
            type=gpu_ids,
            default="0",
            help="the GPU to use, -1 = CPU; for several use torchrun",
        )
        parser.add_argument("--amp", choices=("none", "bf16", "fp16"), default="none", help="mixed precision")
        parser.add_argument(
            "--fast",
            choices=("auto", "off"),
            default="auto",
            help="the same mathematics by faster means (C++ convolutions, caches, ...); "
            "off = the plain path, for comparisons",
        )
        parser.flag("--compile", "compile the nets: slow to start, then faster")
        parser.flag("--verbose", "print the nets")


def _plugin_flags(parser: Parser) -> None:
    with parser.section("plugins"):
        parser.add_argument("--model", default="cycle_gan", help="which model; see --list_models")
        parser.add_argument(
            "--dataset_mode", default="unaligned", help="which kind of data set; see --list_datasets"
        )
        parser.add_argument(
            "--plugin_path",
            action="append",
            default=[],
            metavar="FOLDER",
            help="where else to look for plugins",
        )


def _data_flags(parser: Parser) -> None:
    with parser.section("data"):
        parser.add_argument(
            "--dataroot",
            default=None,
            help="folder of images: trainA, trainB, testA, testB or as the data set says",
        )
        parser.add_argument(
            "--direction", choices=("AtoB", "BtoA"), default="AtoB", help="which domain is the source"
        )
        parser.flag("--serial_batches", "take images in order, not shuffled")
        parser.add_argument(
            "--num_threads",
            type=whole(0),
            default=None,
            help="processes that load images; default: chosen by the cores of the machine, 0 in testing",
        )
        parser.add_argument(
            "--cache",
            choices=("auto", "memory", "disk", "off"),
            default="auto",
            help="keep prepared images: in a quarter of the free memory, all in memory, in a file, or not",
        )
        parser.add_argument("--batch_size", type=whole(1), default=1, help="images a step, in each process")
        parser.add_argument("--load_size", type=whole(1), default=286, help="scale images to this size")
        parser.add_argument("--crop_size", type=whole(1), default=256, help="then crop to this size")
        parser.add_argument(
            "--max_dataset_size",
            type=count_or_all,
            default=float("inf"),
            help="at most so many images a folder",
        )
        parser.add_argument(
            "--preprocess",
            choices=PREPROCESS,
            default="resize_and_crop",
            help="how images get their size",
        )
        parser.flag("--no_flip", "do not mirror images at random")
        parser.flag("--check_data", "open every image before training starts")


def _network_flags(parser: Parser) -> None:
    with parser.section("networks"):
        parser.add_argument(
            "--input_nc", type=whole(1), default=3, help="channels of the input: 3 colour, 1 grey"
        )
        parser.add_argument("--output_nc", type=whole(1), default=3, help="channels of the output")
        parser.add_argument("--ngf", type=whole(1), default=64, help="filters in the generator's last layer")
        parser.add_argument(
            "--ndf", type=whole(1), default=64, help="filters in the discriminator's first layer"
        )
        parser.add_argument(
            "--netG", default="resnet_9blocks", help="resnet_9blocks, resnet_6blocks, unet_256, unet_128"
        )
        parser.add_argument("--netD", default="basic", help="basic (70 x 70 PatchGAN), n_layers, pixel")
        parser.add_argument("--n_layers_D", type=whole(1), default=3, help="with --netD n_layers")
        parser.add_argument("--norm", default="instance", help="instance, batch, syncbatch, none")
        parser.add_argument(
            "--init_type", default="normal", help="normal, xavier, kaiming, orthogonal, default (torch's)"
        )
        parser.add_argument(
            "--init_gain", type=number(above=0), default=0.02, help="scale of the initial weights"
        )
        parser.flag("--no_dropout", "no dropout in the generator")


def _weight_flags(parser: Parser) -> None:
    with parser.section("which weights"):
        parser.add_argument(
            "--epoch", default="latest", help="which weights to load: latest or an epoch's number"
        )
        parser.add_argument("--load_iter", type=whole(0), default=0, help="load iter_<n> instead, if > 0")


def _showing_flags(parser: Parser) -> None:
    with parser.section("showing"):
        parser.add_argument(
            "--display_winsize",
            type=whole(16),
            default=256,
            help="width of an image on pages and in visdom",
        )
        parser.flag("--use_wandb", "show the run on Weights & Biases, too")
        parser.add_argument("--wandb_project_name", default="CycleGAN-and-pix2pix", help="its project there")
