"""Flags: their defaults, the order of the sources, old names, --help, and the types of values."""

import math
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, names_all
from parsing import test, train, values, write_config

from options.base_options import BaseOptions
from options.parser import Parser, count_or_all, names, number, positive_or_inf, switch, whole
from options.sample_options import SampleOptions
from options.test_options import TestOptions
from options.train_options import DISPLAYS, TrainOptions, displays
from util.errors import UserError

UPSTREAM_TRAIN = {
    **{"name": "experiment_name", "gpu_ids": "0", "checkpoints_dir": "./checkpoints", "model": "cycle_gan"},
    **{"input_nc": 3, "output_nc": 3, "ngf": 64, "ndf": 64, "netD": "basic", "netG": "resnet_9blocks"},
    **{"n_layers_D": 3, "norm": "instance", "init_type": "normal", "init_gain": 0.02, "no_dropout": True},
    **{"dataset_mode": "unaligned", "direction": "AtoB", "serial_batches": False},
    **{"batch_size": 1, "load_size": 286, "crop_size": 256, "max_dataset_size": math.inf},
    **{"preprocess": "resize_and_crop", "no_flip": False, "display_winsize": 256, "epoch": "latest"},
    **{"load_iter": 0, "verbose": False, "suffix": "", "use_wandb": False},
    **{"wandb_project_name": "CycleGAN-and-pix2pix"},
    **{"display_freq": 400, "display_ncols": 4, "display_id": 1, "display_server": "http://localhost"},
    **{"display_env": "main", "display_port": 8097, "update_html_freq": 1000, "print_freq": 100},
    **{"no_html": False, "save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False},
    **{"continue_train": False, "epoch_count": 1, "phase": "train", "n_epochs": 100, "n_epochs_decay": 100},
    **{"beta1": 0.5, "lr": 0.0002, "gan_mode": "lsgan", "pool_size": 50, "lr_policy": "linear"},
    **{"lr_decay_iters": 50, "lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5, "isTrain": True},
}
UPSTREAM_TEST = {
    **{"results_dir": "./results/", "aspect_ratio": 1.0, "phase": "test", "eval": False, "num_test": 50},
    **{"model": "test", "load_size": 256, "num_threads": 0, "batch_size": 1, "serial_batches": True},
    **{"no_flip": True, "isTrain": False, "dataset_mode": "single", "model_suffix": ""},
}


@pytest.mark.parametrize(("parse", "defaults"), [(train, UPSTREAM_TRAIN), (test, UPSTREAM_TEST)])
def test_the_defaults_are_those_of_upstream(parse: Callable[..., Namespace], defaults: dict) -> None:
    opt = vars(parse())
    assert {name: opt[name] for name in defaults} == defaults


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--model pix2pix", {"norm": "batch", "netG": "unet_256", "dataset_mode": "aligned", "pool_size": 0}),
        ("--model pix2pix", {"gan_mode": "vanilla", "lambda_L1": 100.0, "no_dropout": False}),
        ("--model pix2pix --norm instance", {"norm": "instance"}),
        ("--model colorization", {"dataset_mode": "colorization", "input_nc": 1, "output_nc": 2}),
        ("--model template --dataset_mode template", {"max_dataset_size": 10, "new_dataset_option": 2.0}),
        ("--no_dropout false", {"no_dropout": False}),
        ("--no_flip", {"no_flip": True}),
        ("--no_flip yes", {"no_flip": True}),
        ("--name x --suffix {netG}_size{load_size}", {"name": "x_resnet_9blocks_size286"}),
        ("--lr 1e-3 --lr_D 4e-3", {"lr_G": 1e-3, "lr_D": 4e-3}),
        ("--model sagan", {"lr_G": 1e-4, "lr_D": 4e-4}),
        ("--model sagan --lr 1e-3", {"lr_G": 1e-3, "lr_D": 1e-3}),
        ("--model sagan --lr 1e-3 --lr_D 2e-3", {"lr_G": 1e-3, "lr_D": 2e-3}),
        ("--gan_mode wgangp", {"lambda_gp": 10.0}),
        ("--gan_mode wgangp --lambda_gp 0", {"lambda_gp": 0.0}),
        ("--lr_policy lambda", {"lr_policy": "linear"}),
        ("--lr_policy=lambda", {"lr_policy": "linear"}),
        ("--display_id -1", {"display": ["console", "loss_log", "jsonl", "html"]}),
        ("--no_html --display_id 0", {"display": ["console", "loss_log", "jsonl"]}),
        ("--display jsonl,console", {"display": ["jsonl", "console"]}),
        ("--display html,visdom,console --no_html --display_id -1", {"display": ["console"]}),
    ],
)
def test_the_command_line_overrides_the_defaults_of_plugins(words: str, expected: dict) -> None:
    opt = vars(train(*words.split()))
    assert {name: opt[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--niter", 5], "n_epochs", 5),
        (["--niter_decay", 5], "n_epochs_decay", 5),
        (["--which_epoch", 7], "epoch", "7"),
        (["--which_model_netG", "resnet_6blocks"], "netG", "resnet_6blocks"),
        (["--which_model_netD", "pixel"], "netD", "pixel"),
        (["--which_direction", "BtoA"], "direction", "BtoA"),
        (["--loadSize", 300], "load_size", 300),
        (["--fineSize=128"], "crop_size", 128),
        (["--batchSize", 2], "batch_size", 2),
        (["--nThreads", 1], "num_threads", 1),
        (["--resize_or_crop", "crop"], "preprocess", "crop"),
        (["--identity", 0.1], "lambda_identity", 0.1),
        (["--no_lsgan"], "gan_mode", "vanilla"),
        (["--display_single_pane_ncols", 3], "display_ncols", 3),
        (["--how_many", 3], "num_test", 3),
        (["--ntest", "inf"], "num_test", math.inf),
    ],
)
def test_old_names_are_accepted_with_a_hint(words: list, name: str, value: object, capsys) -> None:
    assert getattr((test if name == "num_test" else train)(*words), name) == value
    assert names_all(capsys.readouterr().err, [str(words[0]).split("=")[0], f"--{name}"])


def test_a_config_file_is_stronger_than_defaults_and_weaker_than_the_command_line(tmp_path: Path) -> None:
    text = "model: pix2pix\nbatch_size: 3\nno_flip: true\nlambda_L1: 7\nnorm: instance\n"
    opt = train("--config", write_config(tmp_path, text), "--batch_size", 5)
    found = values(opt, "model", "batch_size", "no_flip", "lambda_L1", "norm")
    assert found == ("pix2pix", 5, True, 7.0, "instance")
    assert train("--config", write_config(tmp_path, "no_dropout: false\ngpu_ids: -1\n")).no_dropout is False


def ask(options: type[BaseOptions], words: str, capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as leaving:
        options().parse(words.split())
    assert leaving.value.code == 0
    return capsys.readouterr().out


def test_help_shows_groups_and_defaults_and_the_flags_of_a_model(capsys: pytest.CaptureFixture) -> None:
    shared = ask(TrainOptions, "--help", capsys)
    assert "networks:" in shared and "(default: 286)" in shared and "--lambda_L1" not in shared
    assert "--model NAME --help" in shared
    pix2pix = " ".join(ask(TrainOptions, "--model pix2pix --help", capsys).split())
    assert "flags of --model pix2pix:" in pix2pix and "--lambda_L1" in pix2pix
    assert "(default: unet_256)" in " ".join(pix2pix.split())


@pytest.mark.parametrize("options", [TrainOptions, TestOptions, SampleOptions])
def test_help_says_something_about_each_flag_and_shows_no_empty_default(
    options: type[BaseOptions], capsys: pytest.CaptureFixture
) -> None:
    text = ask(options, "--help", capsys)
    assert not any(f"(default: {value})" in text for value in ("", "None", "False", "[]", "inf"))
    parser = Parser("x", [])
    options().initialize(parser)
    assert all(
        len(str(action.help).split()) >= 2 or "SUPPRESS" in str(action.help) for action in parser._actions
    )


def test_help_of_testing_claims_no_default_that_the_run_overrides(capsys: pytest.CaptureFixture) -> None:
    lines = ask(TestOptions, "--help", capsys).split("\n  --")
    netg = next(line for line in lines if line.startswith("netG"))
    assert "as in training" in " ".join(netg.split()) and "(default: resnet_9blocks)" not in netg
    sample = ask(SampleOptions, "--help", capsys)
    assert (
        "--truncations" in sample and "--netG" not in sample and "test.py --help" in " ".join(sample.split())
    )


def test_every_flag_is_used_in_the_code() -> None:
    """A flag that nothing reads has no effect: each name occurs as opt.<name> in the code."""
    folders = ("models", "data", "options", "util")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text() for path in [*paths, ROOT / "train.py", ROOT / "test.py"])
    for options in (TrainOptions(), TestOptions()):
        parser = Parser("x", [])
        options.initialize(parser)
        for action in parser._actions:
            assert f"opt.{action.dest}" in code or f"known.{action.dest}" in code, action.dest


@pytest.mark.parametrize(
    ("convert", "good", "bad"),
    [
        (whole(1), {"1": 1, "20": 20}, ["0", "-1", "1.5", "x", ""]),
        (whole(1, 9), {"9": 9}, ["10"]),
        (number(above=0), {"0.1": 0.1, "2": 2.0}, ["0", "-1", "nan", "inf", "x"]),
        (number(least=0, below=1), {"0": 0.0, "0.99": 0.99}, ["1", "-0.1"]),
        (positive_or_inf, {"0.1": 0.1, "inf": math.inf}, ["0", "-1", "-inf", "nan", "x", ""]),
        (switch, {"true": True, "No": False, "1": True, "OFF": False}, ["maybe", ""]),
        (count_or_all, {"all": math.inf, "inf": math.inf, "-1": math.inf, "3": 3}, ["0", "some"]),
        (names, {"a,b": ["a", "b"], "": []}, []),
    ],
)
def test_types_convert_good_words_and_refuse_bad_ones(convert: Callable, good: dict, bad: list[str]) -> None:
    assert {word: convert(word) for word in good} == good
    parser = Parser("x", [])
    parser.add_argument("--it", type=convert)
    for word in bad:
        with pytest.raises(UserError) as caught:
            parser.parse_args([f"--it={word}"])
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["+tensorboard"], [*DISPLAYS, "tensorboard"]),
        (["tensorboard"], ["tensorboard"]),
        (["console", "+jsonl"], ["console", "jsonl"]),
        (["+html"], list(DISPLAYS)),
    ],
)
def test_a_plus_adds_a_display_to_the_defaults(given: list[str], shown: list[str]) -> None:
    assert displays(Namespace(display=given, display_id=1, no_html=False, use_wandb=False)) == shown


def test_help_shows_true_defaults_and_no_doubled_words(capsys: pytest.CaptureFixture) -> None:
    for options in (TrainOptions, TestOptions, SampleOptions):
        text = " ".join(ask(options, "--help", capsys).split())
        assert not re.search(r"--(\w+) (?i:\1)\b|default: (None|\)|\[\])", text)
        assert names_all(text, ["random number generators (default: 0)"])
