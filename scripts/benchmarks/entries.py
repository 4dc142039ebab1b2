"""The table of what can be timed."""

from collections.abc import Callable
from typing import Any, NamedTuple

from scripts.benchmarks import compute, files, starting
from scripts.benchmarks.measure import Case


class Entry(NamedTuple):
    about: str
    case: Callable[..., Case]  # called with the Setting and `arguments`
    arguments: tuple[Any, ...] = ()
    peer: str = ""  # the kind of repository that can be compared
    usual: bool = True  # runs without --only


CYCLE_GAN, ATTN, PIX2PIX = "--model cycle_gan", "--model cycle_gan_attn", "--model pix2pix"
PIX2PIX_128 = "--model pix2pix --netG unet_128 --crop_size 128"
SAGAN, DCGAN = "--model sagan --n_classes 0", "--model dcgan"
# BigGAN-PyTorch's settings for CIFAR-10, and those for ImageNet
BIGGAN = "--model biggan --dataset_mode folder --crop_size 32 --n_classes 10 --n_critic 4 --ortho_G 0"
BIGGAN_128 = "--model biggan --dataset_mode folder --crop_size 128 --n_classes 1000 --batch_size 64"


def _step(about: str, words: str, peer: str = "", *, usual: bool = True) -> Entry:
    return Entry(about, compute.step, (words,), peer, usual)


ENTRIES = {
    "cycle_gan_256": _step("a step, batch 1, ResNet-9", CYCLE_GAN, "cycle_gan"),
    "cycle_gan_attn_256": _step("the same with attention", ATTN),
    "pix2pix_256": _step("a step, batch 1, U-Net", PIX2PIX, "cycle_gan"),
    "sagan_64": _step("a step, batch 64", f"{SAGAN} --batch_size 64", "sagan"),
    "dcgan_64": _step("a step, batch 128", f"{DCGAN} --batch_size 128"),
    "biggan_32": _step("a step, batch 50", f"{BIGGAN} --batch_size 50", "biggan"),
    "cycle_gan_128": _step("at 128 pixels", f"{CYCLE_GAN} --crop_size 128", "cycle_gan", usual=False),
    "cycle_gan_attn_128": _step("at 128 pixels", f"{ATTN} --crop_size 128", usual=False),
    "pix2pix_128": _step("at 128 pixels", PIX2PIX_128, "cycle_gan", usual=False),
    "sagan_64_small": _step("batch 8", f"{SAGAN} --batch_size 8", "sagan", usual=False),
    "dcgan_64_small": _step("batch 16", f"{DCGAN} --batch_size 16", usual=False),
    "biggan_32_small": _step("batch 8", f"{BIGGAN} --batch_size 8", "biggan", usual=False),
    "sagan_128": _step("at 128 pixels", f"{SAGAN} --crop_size 128 --batch_size 64", usual=False),
    "biggan_128": _step("at 128 pixels", BIGGAN_128, "biggan", usual=False),
    "sample_sagan_64": Entry("images from noise", compute.sample, (f"{SAGAN} --batch_size 64",)),
    "sample_dcgan_64": Entry("images from noise", compute.sample, (f"{DCGAN} --batch_size 64",)),
    "sample_biggan_32": Entry("images from noise", compute.sample, (f"{BIGGAN} --batch_size 64",)),
    "translate_256": Entry("G_A of CycleGAN, batch 1", compute.sample, (CYCLE_GAN, "G_A")),
    "data_unaligned_256": Entry("JPEG, 286 cropped to 256, an image", files.reading, (CYCLE_GAN,)),
    "data_folder_64": Entry("JPEG of 256 pixels to 64, an image", files.reading, (DCGAN,)),
    "loader_unaligned_256": Entry("the first, in batches of one", files.reading, (CYCLE_GAN, True)),
    "wait_cycle_gan_256": Entry("how long a step waits for its batch", files.waiting, (CYCLE_GAN,)),
    "wait_dcgan_64": Entry("the same, batch 128", files.waiting, (f"{DCGAN} --batch_size 128",)),
    "attention_c64_64": Entry("batch 4, 64 channels at 64 x 64", compute.attention, (64, 64, 4)),
    "attention_c64_128": Entry("batch 4, 64 channels at 128 x 128", compute.attention, (64, 128, 4)),
    "attention_c256_64": Entry("batch 4, 256 channels at 64 x 64", compute.attention, (256, 64, 4)),
    "attention_step_c64_256": Entry("batch 1, 64 channels at 256 x 256", compute.attention, (64, 256, 1)),
    "start_help": Entry("train.py --help", starting.question, ("--help",), "cycle_gan"),
    "start_list_models": Entry("train.py --list_models", starting.question, ("--list_models",)),
    "start_model_help": Entry("--help of a model", starting.question, ("--model", "cycle_gan", "--help")),
    "start_imports": Entry("from launch to the end of the imports", starting.imports, (), "cycle_gan"),
    "start_first_step": Entry("from launch to the first step", starting.first_step),
    "checkpoint_save": Entry("saving a CycleGAN run", files.save),
    "checkpoint_load": Entry("resuming it", files.load),
    "train_page": Entry("pictures and page of a late epoch", files.train_page),
    "result_page": Entry("pages of results, a picture", files.result_page),
}
