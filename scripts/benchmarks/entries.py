"""The table of what can be timed."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.benchmarks import saving
from scripts.benchmarks.attention import attention_case, attention_step_case
from scripts.benchmarks.loading import items_case, loader_case, wait_case
from scripts.benchmarks.setting import Make
from scripts.benchmarks.starting import first_step_case, imports_case, question_case
from scripts.benchmarks.steps import sampling_case, step_case

CYCLE_GAN = "--model cycle_gan"
ATTENDING = "--model cycle_gan_attn"
PIX2PIX = "--model pix2pix"
SAGAN = "--model sagan --n_classes 0"
DCGAN = "--model dcgan"
# the shape and the game known from CIFAR-10, and those of ImageNet
BIGGAN = "--model biggan --dataset_mode folder --crop_size 32 --n_classes 10 --n_critic 4 --ortho_G 0"
BIGGAN_128 = "--model biggan --dataset_mode folder --crop_size 128 --n_classes 1000"


@dataclass(frozen=True)
class Entry:
    """`peer` is the kind of repository that has a counterpart; those that are not `usual` run when named."""

    about: str
    make: Make
    peer: str = ""
    usual: bool = True


STEPS = {
    "cycle_gan_256": Entry("a step, batch 1, ResNet-9, identity", step_case(CYCLE_GAN), "cycle_gan"),
    "cycle_gan_attn_256": Entry("the same with attention", step_case(ATTENDING)),
    "pix2pix_256": Entry("a step, batch 1, U-Net", step_case(PIX2PIX), "cycle_gan"),
    "sagan_64": Entry("a step, batch 64", step_case(f"{SAGAN} --batch_size 64"), "sagan"),
    "dcgan_64": Entry("a step, batch 128", step_case(f"{DCGAN} --batch_size 128")),
    "biggan_32": Entry(
        "a step, batch 50: the mean of 4, one of which is G's, too",
        step_case(f"{BIGGAN} --batch_size 50"),
        "biggan",
    ),
    "cycle_gan_128": Entry("at 128 pixels", step_case(f"{CYCLE_GAN} --crop_size 128"), "cycle_gan", False),
    "cycle_gan_attn_128": Entry("at 128 pixels", step_case(f"{ATTENDING} --crop_size 128"), usual=False),
    "pix2pix_128": Entry(
        "at 128 pixels", step_case(f"{PIX2PIX} --netG unet_128 --crop_size 128"), "cycle_gan", False
    ),
    "sagan_64_small": Entry("batch 8", step_case(f"{SAGAN} --batch_size 8"), "sagan", False),
    "dcgan_64_small": Entry("batch 16", step_case(f"{DCGAN} --batch_size 16"), usual=False),
    "biggan_32_small": Entry("batch 8", step_case(f"{BIGGAN} --batch_size 8"), "biggan", False),
    "sagan_128": Entry("at 128 pixels", step_case(f"{SAGAN} --crop_size 128 --batch_size 64"), usual=False),
    "biggan_128": Entry("at 128 pixels", step_case(f"{BIGGAN_128} --batch_size 64"), "biggan", False),
}
SAMPLING = {
    "sample_sagan_64": Entry("images of noise, batch 64", sampling_case(f"{SAGAN} --batch_size 64", "G")),
    "sample_dcgan_64": Entry("images of noise, batch 64", sampling_case(f"{DCGAN} --batch_size 64", "G")),
    "sample_biggan_32": Entry("images of noise, batch 64", sampling_case(f"{BIGGAN} --batch_size 64", "G")),
    "translate_256": Entry("CycleGAN's G_A, batch 1", sampling_case(CYCLE_GAN, "G_A")),
}
LOADING = {
    "data_unaligned_256": Entry(
        "JPEG of 256 pixels, scaled to 286, cropped to 256; an image of an item",
        items_case(CYCLE_GAN, count=48, images_an_item=2),
    ),
    "data_folder_64": Entry(
        "JPEG of 256 pixels to 64; an item",
        items_case(DCGAN, count=48, images_an_item=1),
    ),
    "loader_unaligned_256": Entry(
        "the first in batches of one, by one process; an image",
        loader_case(CYCLE_GAN, count=48, images_an_item=2),
    ),
    "wait_cycle_gan_256": Entry("what a step waits for its batch", wait_case(CYCLE_GAN)),
    "wait_dcgan_64": Entry("what a step waits for its batch", wait_case(f"{DCGAN} --batch_size 128")),
}
ATTENTION = {
    "attention_c64_64": Entry("batch 4, 64 channels at 64 x 64", attention_case(64, 64, 4)),
    "attention_c64_128": Entry("batch 4, 64 channels at 128 x 128", attention_case(64, 128, 4)),
    "attention_c256_64": Entry("batch 4, 256 channels at 64 x 64", attention_case(256, 64, 4)),
    "attention_step_c64_256": Entry("a training step at 256 x 256, batch 1", attention_step_case(64, 256)),
}
STARTING = {
    "start_help": Entry("train.py --help", question_case("--help"), "cycle_gan"),
    "start_list_models": Entry("train.py --list_models", question_case("--list_models")),
    "start_model_help": Entry(
        "train.py --model cycle_gan --help", question_case("--model", "cycle_gan", "--help")
    ),
    "start_imports": Entry("from launch to the end of train.py's imports", imports_case, "cycle_gan"),
    "start_first_step": Entry("from launch to the first step", first_step_case),
}
SAVING = {name: Entry(about, make) for name, (about, make) in saving.ALL.items()}
ENTRIES = STEPS | SAMPLING | LOADING | ATTENTION | STARTING | SAVING
