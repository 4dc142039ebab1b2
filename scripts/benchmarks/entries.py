"""The table of what can be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scripts.benchmarks.compute import attention_case, sampling_case, step_case
from scripts.benchmarks.files import (
    load_case,
    read_epoch,
    read_items,
    reading_case,
    result_page_case,
    save_case,
    train_page_case,
    wait_case,
)
from scripts.benchmarks.measure import Case
from scripts.benchmarks.setting import Setting
from scripts.benchmarks.starting import first_step_case, imports_case, question_case


@dataclass(frozen=True)
class Entry:
    """`peer` is the kind of repository that can be compared; without --only the `usual` entries run."""

    about: str
    case: Callable[[Setting], Case]
    peer: str = ""
    usual: bool = True


def _entry(about: str, case: Callable, *arguments: object, peer: str = "", usual: bool = True) -> Entry:
    return Entry(about, partial(case, *arguments), peer, usual)


def _step(about: str, words: str, *, peer: str = "") -> Entry:
    """A training step at a further size, which runs only when it is named."""
    return Entry(about, partial(step_case, words), peer, usual=False)


CYCLE_GAN, ATTN, PIX2PIX = "--model cycle_gan", "--model cycle_gan_attn", "--model pix2pix"
SAGAN, DCGAN = "--model sagan --n_classes 0", "--model dcgan"
# BigGAN-PyTorch's settings for CIFAR-10, and those for ImageNet
BIGGAN = "--model biggan --dataset_mode folder --crop_size 32 --n_classes 10 --n_critic 4 --ortho_G 0"
BIGGAN_128 = "--model biggan --dataset_mode folder --crop_size 128 --n_classes 1000 --batch_size 64"

ENTRIES = {
    "cycle_gan_256": _entry("a step, batch 1, ResNet-9", step_case, CYCLE_GAN, peer="cycle_gan"),
    "cycle_gan_attn_256": _entry("the same with attention", step_case, ATTN),
    "pix2pix_256": _entry("a step, batch 1, U-Net", step_case, PIX2PIX, peer="cycle_gan"),
    "sagan_64": _entry("a step, batch 64", step_case, f"{SAGAN} --batch_size 64", peer="sagan"),
    "dcgan_64": _entry("a step, batch 128", step_case, f"{DCGAN} --batch_size 128"),
    "biggan_32": _entry("a step, batch 50", step_case, f"{BIGGAN} --batch_size 50", peer="biggan"),
    "cycle_gan_128": _step("at 128 pixels", f"{CYCLE_GAN} --crop_size 128", peer="cycle_gan"),
    "cycle_gan_attn_128": _step("at 128 pixels", f"{ATTN} --crop_size 128"),
    "pix2pix_128": _step("at 128 pixels", f"{PIX2PIX} --netG unet_128 --crop_size 128", peer="cycle_gan"),
    "sagan_64_small": _step("batch 8", f"{SAGAN} --batch_size 8", peer="sagan"),
    "dcgan_64_small": _step("batch 16", f"{DCGAN} --batch_size 16"),
    "biggan_32_small": _step("batch 8", f"{BIGGAN} --batch_size 8", peer="biggan"),
    "sagan_128": _step("at 128 pixels", f"{SAGAN} --crop_size 128 --batch_size 64"),
    "biggan_128": _step("at 128 pixels", BIGGAN_128, peer="biggan"),
    "sample_sagan_64": _entry("images from noise", sampling_case, f"{SAGAN} --batch_size 64", "G"),
    "sample_dcgan_64": _entry("images from noise", sampling_case, f"{DCGAN} --batch_size 64", "G"),
    "sample_biggan_32": _entry("images from noise", sampling_case, f"{BIGGAN} --batch_size 64", "G"),
    "translate_256": _entry("G_A of CycleGAN, batch 1", sampling_case, CYCLE_GAN, "G_A"),
    "data_unaligned_256": _entry(
        "JPEG, 286 cropped to 256, an image", reading_case, CYCLE_GAN, read_items, 2
    ),
    "data_folder_64": _entry("JPEG of 256 pixels to 64, an image", reading_case, DCGAN, read_items, 1),
    "loader_unaligned_256": _entry("the first, in batches of one", reading_case, CYCLE_GAN, read_epoch, 2),
    "wait_cycle_gan_256": _entry("how long a step waits for its batch", wait_case, CYCLE_GAN),
    "wait_dcgan_64": _entry("the same, batch 128", wait_case, f"{DCGAN} --batch_size 128"),
    "attention_c64_64": _entry("batch 4, 64 channels at 64 x 64", attention_case, 64, 64, 4),
    "attention_c64_128": _entry("batch 4, 64 channels at 128 x 128", attention_case, 64, 128, 4),
    "attention_c256_64": _entry("batch 4, 256 channels at 64 x 64", attention_case, 256, 64, 4),
    "attention_step_c64_256": _entry("batch 1, 64 channels at 256 x 256", attention_case, 64, 256, 1),
    "start_help": _entry("train.py --help", question_case, "--help", peer="cycle_gan"),
    "start_list_models": _entry("train.py --list_models", question_case, "--list_models"),
    "start_model_help": _entry("--help of a model", question_case, "--model cycle_gan --help"),
    "start_imports": _entry("from launch to the end of the imports", imports_case, peer="cycle_gan"),
    "start_first_step": _entry("from launch to the first step", first_step_case),
    "checkpoint_save": _entry("saving a CycleGAN run", save_case),
    "checkpoint_load": _entry("resuming it", load_case),
    "train_page": _entry("pictures and page of a late epoch", train_page_case),
    "result_page": _entry("pages of results, a picture", result_page_case),
}
