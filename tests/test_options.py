"""Flags: defaults of the contract, sources and their order, old names, files, and what test.py takes over."""

import json
import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, names_all

from options import base_options, saved_options
from options.parser import Parser, count_or_all, names, number, positive_or_inf, switch, whole
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError


def train(*words: object) -> Namespace:
    return TrainOptions().parse(["--dataroot", ".", *(str(word) for word in words)])


def test(*words: object) -> Namespace:
    return TestOptions().parse(["--dataroot", ".", *(str(word) for word in words)])


test.__test__ = False  # type: ignore[attr-defined]

CLASSIC_BASE = {
    **{"name": "experiment_name", "gpu_ids": "0", "checkpoints_dir": "./checkpoints", "model": "cycle_gan"},
    **{"input_nc": 3, "output_nc": 3, "ngf": 64, "ndf": 64, "netD": "basic", "netG": "resnet_9blocks"},
    **{"n_layers_D": 3, "norm": "instance", "init_type": "normal", "init_gain": 0.02, "no_dropout": True},
    **{"dataset_mode": "unaligned", "direction": "AtoB", "serial_batches": False},
    **{"batch_size": 1, "load_size": 286, "crop_size": 256, "max_dataset_size": math.inf},
    **{"preprocess": "resize_and_crop", "no_flip": False, "display_winsize": 256, "epoch": "latest"},
    **{"load_iter": 0, "verbose": False, "suffix": "", "use_wandb": False},
    **{"wandb_project_name": "CycleGAN-and-pix2pix"},
}
CLASSIC_TRAIN = {
    **{"display_freq": 400, "display_ncols": 4, "display_id": 1, "display_server": "http://localhost"},
    **{"display_env": "main", "display_port": 8097, "update_html_freq": 1000, "print_freq": 100},
    **{"no_html": False, "save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False},
    **{"continue_train": False, "epoch_count": 1, "phase": "train", "n_epochs": 100, "n_epochs_decay": 100},
    **{"beta1": 0.5, "lr": 0.0002, "gan_mode": "lsgan", "pool_size": 50, "lr_policy": "linear"},
    **{"lr_decay_iters": 50, "lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5, "isTrain": True},
}
CLASSIC_TEST = {
    **{"results_dir": "./results/", "aspect_ratio": 1.0, "phase": "test", "eval": False, "num_test": 50},
    **{"model": "test", "load_size": 256, "num_threads": 0, "batch_size": 1, "serial_batches": True},
    **{"no_flip": True, "isTrain": False, "dataset_mode": "single", "model_suffix": ""},
}


@pytest.mark.parametrize(("name", "value"), sorted((CLASSIC_BASE | CLASSIC_TRAIN).items()))
def test_training_has_the_classic_defaults(name: str, value: object) -> None:
    assert getattr(train(), name) == value


@pytest.mark.parametrize(("name", "value"), sorted(CLASSIC_TEST.items()))
def test_testing_has_the_classic_defaults(name: str, value: object) -> None:
    assert getattr(test(), name) == value


def test_plugins_change_defaults_and_the_command_line_wins() -> None:
    opt = train("--model", "pix2pix")
    assert (opt.norm, opt.netG, opt.dataset_mode, opt.pool_size, opt.gan_mode) == (
        "batch",
        "unet_256",
        "aligned",
        0,
        "vanilla",
    )
    assert opt.lambda_L1 == 100.0 and opt.no_dropout is False
    assert train("--model", "pix2pix", "--norm", "instance").norm == "instance"
    colour = train("--model", "colorization")
    assert (colour.dataset_mode, colour.input_nc, colour.output_nc) == ("colorization", 1, 2)
    template = train("--model", "template", "--dataset_mode", "template")
    assert (template.max_dataset_size, template.new_dataset_option, template.lambda_regression) == (
        10,
        2.0,
        1.0,
    )


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
    ],
)
def test_old_names_are_taken_with_a_hint(words: list, name: str, value: object, capsys) -> None:
    assert getattr(train(*words), name) == value
    assert names_all(capsys.readouterr().err, [str(words[0]).split("=")[0], f"--{name}"])


def test_old_values_and_test_flags_are_taken() -> None:
    assert train("--lr_policy", "lambda").lr_policy == train("--lr_policy=lambda").lr_policy == "linear"
    assert test("--how_many", 3).num_test == 3 and test("--ntest", "inf").num_test == math.inf


@pytest.mark.parametrize("word", ["all", "inf", "-1"])
def test_all_images_can_be_asked_for(word: str) -> None:
    assert test("--num_test", word).num_test == math.inf


def test_switches_take_an_optional_value() -> None:
    assert train("--no_dropout", "false").no_dropout is False
    assert train("--no_flip").no_flip is True and train("--no_flip", "yes").no_flip is True


def test_a_suffix_is_filled_in() -> None:
    assert train("--name", "x", "--suffix", "{netG}_size{load_size}").name == "x_resnet_9blocks_size286"


def test_rates_of_their_own_default_to_the_shared_one() -> None:
    opt = train("--lr", 1e-3, "--lr_D", 4e-3)
    assert (opt.lr_G, opt.lr_D) == (1e-3, 4e-3)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], ["console", "loss_log", "jsonl", "html", "visdom"]),
        (["--display_id", -1], ["console", "loss_log", "jsonl", "html"]),
        (["--no_html", "--display_id", 0], ["console", "loss_log", "jsonl"]),
        (["--display", "jsonl,console"], ["jsonl", "console"]),
        (["--display", "html,visdom,console", "--no_html", "--display_id", -1], ["console"]),
    ],
)
def test_where_a_run_is_shown(words: list, shown: list[str]) -> None:
    assert train(*words).display == shown


# ---------------------------------------------------------------------- files


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def test_a_config_stands_between_defaults_and_the_command_line(tmp_path: Path) -> None:
    path = config(tmp_path, "model: pix2pix\nbatch_size: 3\nno_flip: true\nlambda_L1: 7\nnorm: instance\n")
    opt = train("--config", path, "--batch_size", 5)
    assert (opt.model, opt.batch_size, opt.no_flip, opt.lambda_L1, opt.norm) == (
        "pix2pix",
        5,
        True,
        7.0,
        "instance",
    )
    assert train("--config", config(tmp_path, "no_dropout: false\ngpu_ids: -1\n")).no_dropout is False


def test_options_are_written_in_both_forms(tmp_path: Path) -> None:
    options = TrainOptions()
    opt = options.parse(["--dataroot", ".", "--checkpoints_dir", str(tmp_path), "--name", "x", "--ngf", "16"])
    options.save(opt)
    text = (tmp_path / "x" / "train_opt.txt").read_text().splitlines()
    assert text[0] == "----------------- Options ---------------" and text[-1].startswith(
        "----------------- End"
    )
    assert f"{'ngf':>25}: {'16':<30}\t[default: 64]" in text
    assert f"{'ndf':>25}: {'64':<30}" in text
    saved = json.loads((tmp_path / "x" / "opt.json").read_text())
    assert saved["ngf"] == 16 and saved["max_dataset_size"] == "inf"


def saved_run(tmp_path: Path, *words: str) -> None:
    options = TrainOptions()
    options.save(
        options.parse(["--dataroot", "tests", "--checkpoints_dir", str(tmp_path), "--name", "x", *words])
    )


def test_testing_takes_the_architecture_from_the_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    saved_run(
        tmp_path,
        "--model",
        "cycle_gan_attn",
        "--netG",
        "resnet_6blocks",
        "--attn_G_pos",
        "mid",
        "--crop_size",
        "64",
    )
    where = ("--checkpoints_dir", tmp_path, "--name", "x")
    opt = test(*where)
    assert (opt.model, opt.netG, opt.attn_G_pos, opt.crop_size, opt.load_size) == (
        "cycle_gan_attn",
        "resnet_6blocks",
        "mid",
        64,
        64,
    )
    assert (
        opt.dataset_mode == "unaligned"
        and opt.no_dropout is True
        and opt.phase == "test"
        and opt.dataroot == "."
    )
    assert "overrides" not in capsys.readouterr().err
    assert test(*where, "--netG", "resnet_9blocks").netG == "resnet_9blocks"
    assert names_all(capsys.readouterr().err, ["--netG", "resnet_9blocks", "resnet_6blocks"])
    single = test(*where, "--model", "test", "--model_suffix", "_A")
    assert (single.dataset_mode, single.netG) == ("single", "resnet_6blocks")


def test_a_classic_run_is_read_from_its_train_opt_txt(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "train_opt.txt").write_text(
        "----------------- Options ---------------\n"
        "                    model: cycle_gan                     \t[default: test]\n"
        "                     netG: resnet_6blocks                \t[default: resnet_9blocks]\n"
        "               no_dropout: True                          \n"
        "         max_dataset_size: inf                           \n"
        "                  dataset: junk                          \n"
        "----------------- End -------------------\n"
    )
    opt = test("--checkpoints_dir", tmp_path, "--name", "x")
    assert (opt.model, opt.netG, opt.no_dropout) == ("cycle_gan", "resnet_6blocks", True)


def test_our_own_train_opt_txt_is_read_where_opt_json_is_gone(tmp_path: Path) -> None:
    saved_run(
        tmp_path, "--model", "pix2pix", "--plugin_path", ".", "--no_dropout", "--display", "console,jsonl"
    )
    (tmp_path / "x" / "opt.json").unlink()
    opt = TrainOptions().parse(["--continue_train", "--checkpoints_dir", str(tmp_path), "--name", "x"])
    assert (opt.model, opt.plugin_path, opt.no_dropout) == ("pix2pix", ["."], True)
    assert (opt.display, opt.max_dataset_size) == (["console", "jsonl"], math.inf)


def test_testing_on_the_training_phase_leaves_the_record_of_training(tmp_path: Path) -> None:
    saved_run(tmp_path)
    before = (tmp_path / "x" / "train_opt.txt").read_text()
    options = TestOptions()
    where = ["--dataroot", ".", "--checkpoints_dir", str(tmp_path), "--name", "x"]
    options.save(options.parse([*where, "--phase", "train"]))
    assert (tmp_path / "x" / "train_opt.txt").read_text() == before
    assert "results_dir" in (tmp_path / "x" / "test_opt.txt").read_text()


def test_images_that_were_only_resized_are_tested_at_that_size(tmp_path: Path) -> None:
    saved_run(tmp_path, "--preprocess", "resize", "--load_size", "64")
    where = ("--checkpoints_dir", tmp_path, "--name", "x")
    assert (test(*where).load_size, test(*where).image_side) == (64, 64)
    assert test(*where, "--load_size", 128).image_side == 128


def test_plugin_flags_of_every_kind_come_back(tmp_path: Path) -> None:
    parser = Parser("x", [])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--pair", type=int, nargs=2)
    parser.add_argument("--no_x", dest="use_x", action="store_false")
    parser.add_argument("--y", action="store_true")
    parser.add_argument("--path", action="append", default=[])
    saved = {"sizes": [0, 4, 8], "pair": [1, 2], "use_x": False, "y": True, "path": "one", "gone": 3}
    parser.layers = [("a run", saved)]
    opt = parser.parse_strictly()
    assert (opt.sizes, opt.pair, opt.use_x, opt.y, opt.path) == ([0, 4, 8], [1, 2], False, True, ["one"])
    parser.layers = [("a run", {"use_x": True, "y": False})]
    opt = parser.parse_strictly()
    assert opt.use_x is True and opt.y is False


def test_going_on_takes_everything_from_the_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    saved_run(tmp_path, "--model", "pix2pix", "--lambda_L1", "5", "--batch_size", "2", "--crop_size", "256")
    opt = TrainOptions().parse(
        ["--continue_train", "--checkpoints_dir", str(tmp_path), "--name", "x", "--batch_size", "4"]
    )
    assert (opt.model, opt.lambda_L1, opt.dataroot, opt.batch_size) == ("pix2pix", 5.0, "tests", 4)
    err = capsys.readouterr().err
    assert names_all(err, ["--batch_size", "4", "2"]) and err.count("\n") == 1


def test_loading_processes_that_a_machine_chose_are_chosen_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    go_on = ["--continue_train", "--checkpoints_dir", str(tmp_path), "--name", "x"]
    for cores, words, resumed in ((3, [], 5), (3, ["--num_threads", "2"], 2)):
        monkeypatch.setattr(base_options, "default_num_threads", lambda cached, cores=cores: cores)
        saved_run(tmp_path, *words)
        assert f"num_threads: {words[-1] if words else 3} " in (tmp_path / "x" / "train_opt.txt").read_text()
        monkeypatch.setattr(base_options, "default_num_threads", lambda cached: 5)
        for _ in range(2):  # a run that was gone on with is gone on with again
            options = TrainOptions()
            opt = options.parse(go_on)
            options.save(opt)
            assert opt.num_threads == resumed
    saved_run(tmp_path)
    assert TrainOptions().parse([*go_on, "--num_threads", "1"]).num_threads == 1
    assert "overrides" not in capsys.readouterr().err


def test_a_new_run_takes_nothing_from_an_old_one(tmp_path: Path) -> None:
    saved_run(tmp_path, "--ngf", "16")
    assert train("--checkpoints_dir", tmp_path, "--name", "x").ngf == 64


# ---------------------------------------------------------------------- help and types


def ask(options: type, *words: str, capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as leaving:
        options().parse(list(words))
    assert leaving.value.code == 0
    return capsys.readouterr().out


def test_help_is_grouped_with_defaults_and_a_models_own_flags(capsys: pytest.CaptureFixture) -> None:
    plain = ask(TrainOptions, "--help", capsys=capsys)
    assert "networks:" in plain and "(default: 286)" in plain and "--lambda_L1" not in plain
    assert "--model NAME --help" in plain
    pix2pix = ask(TrainOptions, "--model", "pix2pix", "--help", capsys=capsys)
    assert (
        "flags of --model pix2pix:" in pix2pix
        and "--lambda_L1" in pix2pix
        and "(default: unet_256)" in pix2pix
    )
    assert "--results_dir" in ask(TestOptions, "--help", capsys=capsys)


def test_plugins_are_listed(capsys: pytest.CaptureFixture) -> None:
    models = ask(TrainOptions, "--list_models", capsys=capsys)
    assert all(f"{name} " in models for name in ("cycle_gan", "cycle_gan_attn", "pix2pix", "template"))
    assert "unaligned " in ask(TestOptions, "--list_datasets", capsys=capsys)


def test_every_flag_is_read_somewhere() -> None:
    """A flag without an effect is a lie: each name is read as opt.<name> in the code."""
    code = "\n".join(
        path.read_text()
        for folder in ("models", "data", "options", "util")
        for path in (ROOT / folder).rglob("*.py")
    )
    code += (ROOT / "train.py").read_text() + (ROOT / "test.py").read_text()
    for options in (TrainOptions(), TestOptions()):
        parser = Parser("x", [])
        options.initialize(parser)
        for action in parser._actions:
            assert f"opt.{action.dest}" in code or f"known.{action.dest}" in code, action.dest


@pytest.mark.parametrize(
    ("convert", "good", "bad"),
    [
        (whole(1), ["1", "20"], ["0", "-1", "1.5", "x", ""]),
        (whole(1, 9), ["9"], ["10"]),
        (number(above=0), ["0.1", "2"], ["0", "-1", "nan", "inf", "x"]),
        (number(least=0, below=1), ["0", "0.99"], ["1", "-0.1"]),
        (positive_or_inf, ["0.1", "inf"], ["0", "-1", "-inf", "nan", "x", ""]),
        (switch, ["true", "No", "1", "OFF"], ["maybe", ""]),
        (count_or_all, ["all", "3"], ["0", "some"]),
    ],
)
def test_types_refuse_what_cannot_be(convert, good: list[str], bad: list[str]) -> None:
    for word in good:
        convert(word)
    for word in bad:
        with pytest.raises(Exception, match=r"."):
            convert(word)


def test_lists_of_names() -> None:
    assert names("a,b") == ["a", "b"] and names("") == []


def test_a_damaged_record_of_a_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "opt.json").write_text("{")
    with pytest.raises(UserError, match=r"opt\.json is damaged"):
        saved_options.read_run(tmp_path)
    assert saved_options.read_run(tmp_path / "nowhere") == {}


def test_what_a_person_says_of_the_learning_rate_counts_more_than_a_models_own(
    train_opt: Callable[..., Namespace],
) -> None:
    def rates(*words: object) -> tuple[float, float]:
        opt = train_opt("--model", "sagan", *words)
        return opt.lr_G, opt.lr_D

    assert rates() == (1e-4, 4e-4)
    assert rates("--lr", 1e-3) == (1e-3, 1e-3)
    assert rates("--lr", 1e-3, "--lr_D", 2e-3) == (1e-3, 2e-3)


def test_the_weight_of_the_penalty_follows_the_objective(tmp_path: Path) -> None:
    assert [train(*words).lambda_gp for words in ([], ["--gan_mode", "wgangp"])] == [0.0, 10.0]
    assert train("--gan_mode", "wgangp", "--lambda_gp", 0).lambda_gp == 0.0
    saved_run(tmp_path, "--gan_mode", "wgangp")
    where = ["--continue_train", "--checkpoints_dir", str(tmp_path), "--name", "x"]
    assert TrainOptions().parse(where).lambda_gp == 10.0
    assert TrainOptions().parse([*where, "--gan_mode", "lsgan"]).lambda_gp == 0.0
