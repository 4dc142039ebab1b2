"""Flags of earlier versions of upstream (pytorch-CycleGAN-and-pix2pix), which are accepted with a hint."""

from collections.abc import Sequence

from util import log

RENAMED = {
    "niter": "n_epochs",
    "niter_decay": "n_epochs_decay",
    "which_epoch": "epoch",
    "which_model_netG": "netG",
    "which_model_netD": "netD",
    "which_direction": "direction",
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "batchSize": "batch_size",
    "nThreads": "num_threads",
    "resize_or_crop": "preprocess",
    "how_many": "num_test",
    "ntest": "num_test",
    "identity": "lambda_identity",
    "display_single_pane_ncols": "display_ncols",
}
REPLACED = {"no_lsgan": ["--gan_mode", "vanilla"]}
OLD_VALUES = {("lr_policy", "lambda"): "linear"}


def translate(argv: Sequence[str]) -> list[str]:
    """The command line with the present names of flags and values; a warning names each old flag."""
    words: list[str] = []
    for word in argv:
        flag, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and flag in RENAMED:
            log.warn(f"--{flag} is an old name of --{RENAMED[flag]}, which is used instead")
            word = f"--{RENAMED[flag]}{equals}{value}"
        elif word.startswith("--") and flag in REPLACED:
            log.warn(f"--{flag} is an old name of {' '.join(REPLACED[flag])}, which is used instead")
            words += REPLACED[flag]
            continue
        words.append(word)
    return _with_new_values(words)


def _with_new_values(words: list[str]) -> list[str]:
    for index, word in enumerate(words):
        flag = words[index - 1].removeprefix("--") if index else ""
        name, _, value = word.removeprefix("--").partition("=")
        if (flag, word) in OLD_VALUES:
            words[index] = OLD_VALUES[flag, word]
        elif (name, value) in OLD_VALUES:
            words[index] = f"--{name}={OLD_VALUES[name, value]}"
    return words
