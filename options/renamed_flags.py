"""Flags of earlier versions of upstream (pytorch-CycleGAN-and-pix2pix), which are accepted with a hint."""

from collections.abc import Sequence

from util import log

RENAMED = {
    "--niter": "--n_epochs",
    "--niter_decay": "--n_epochs_decay",
    "--which_epoch": "--epoch",
    "--which_model_netG": "--netG",
    "--which_model_netD": "--netD",
    "--which_direction": "--direction",
    "--loadSize": "--load_size",
    "--fineSize": "--crop_size",
    "--batchSize": "--batch_size",
    "--nThreads": "--num_threads",
    "--resize_or_crop": "--preprocess",
    "--how_many": "--num_test",
    "--ntest": "--num_test",
    "--identity": "--lambda_identity",
    "--display_single_pane_ncols": "--display_ncols",
    "--no_lsgan": "--gan_mode=vanilla",
}


def translate(argv: Sequence[str]) -> list[str]:
    """The command line with the present names of flags and values; a warning names each old flag."""
    words: list[str] = []
    for word in argv:
        flag, equals, value = word.partition("=")
        if flag in RENAMED:
            log.warn(f"{flag} is an old name of {RENAMED[flag]}, which is used instead")
        word = f"{RENAMED.get(flag, flag)}{equals}{value}"
        # the former name of --lr_policy linear
        if word == "--lr_policy=lambda" or (word == "lambda" and words[-1:] == ["--lr_policy"]):
            word = word.replace("lambda", "linear")
        words.append(word)
    return words
