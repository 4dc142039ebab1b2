"""Flags: their defaults, the order of the sources, files of options, and what runs pass on to later starts."""

import json
import math
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, draw_images, names_all, refused

from data import find_dataset_using_name
from options import base_options, saved_options
from options.base_options import BaseOptions
from options.parser import Parser, count_or_all, names, number, positive_or_inf, switch, whole
from options.sample_options import SampleOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError


def train(*words: object) -> Namespace:
    return TrainOptions().parse(["--dataroot", ".", *map(str, words)])


def test(*words: object) -> Namespace:
    return TestOptions().parse(["--dataroot", ".", *map(str, words)])


test.__test__ = False  # type: ignore[attr-defined]


def values(opt: Namespace, *names: str) -> tuple:
    return tuple(getattr(opt, name) for name in names)


def save_run(folder: Path, *words: object) -> tuple[object, ...]:
    """Save the options of a run called x; the words that choose it."""
    where = ("--checkpoints_dir", folder, "--name", "x")
    options = TrainOptions()
    options.save(options.parse(["--dataroot", "tests", *map(str, (*where, *words))]))
    return where


def resume(*words: object) -> Namespace:
    return TrainOptions().parse(["--continue_train", *map(str, words)])


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
    ],
)
def test_old_names_are_accepted_with_a_hint(words: list, name: str, value: object, capsys) -> None:
    assert getattr(train(*words), name) == value
    assert names_all(capsys.readouterr().err, [str(words[0]).split("=")[0], f"--{name}"])


def test_old_names_of_test_flags_are_accepted() -> None:
    assert test("--how_many", 3).num_test == 3 and test("--ntest", "inf").num_test == math.inf


# ---------------------------------------------------------------------- attributes of flags


FLAGGED_MODEL = """
from models.template_model import *
class FlaggedModel(TemplateModel):
    @staticmethod
    def modify_commandline_options(parser, is_train):
        TemplateModel.modify_commandline_options(parser, is_train)
        parser.add_argument("--plain", type=int, default=0)
        parser.add_argument("--not_tested", type=int, default=0, for_testing=False)
        parser.add_argument("--once", type=int, default=0, fresh_start=True)
        parser.add_argument("--shade", type=int, default=0, changes_pixels=True)
        parser.add_argument("--rate", type=float, follows=("lr",))
        parser.add_argument("--half", type=float, follows=["rate", "ngf"])
        return parser
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The words that choose a model whose flags have each attribute, and small images without a name of a run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "flagged_model.py").write_text(FLAGGED_MODEL)
    return ["--plugin_path", tmp_path, "--model", "flagged"]


def test_test_py_takes_over_the_flags_that_the_networks_depend_on(own: list, tmp_path: Path) -> None:
    where = save_run(tmp_path, *own, "--plain", 5, "--not_tested", 5, "--shade", 5, "--ngf", 8, "--lr", 0.5)
    opt = test(*where)
    assert values(opt, "model", "plain", "not_tested", "shade", "ngf") == ("flagged", 5, 0, 5, 8)
    assert "lr" not in opt and values(test(*where, "--plain", 6), "plain", "shade") == (6, 5)


def test_a_shared_flag_needs_no_list_to_be_taken_over(tmp_path: Path, monkeypatch) -> None:
    def initialize(self: BaseOptions, parser: Parser, add: Callable = BaseOptions.initialize) -> None:
        add(self, parser)
        parser.add_argument("--depth", type=int, default=0, for_testing=True)
        parser.add_argument("--pace", type=int, default=0)

    monkeypatch.setattr(BaseOptions, "initialize", initialize)
    where = save_run(tmp_path, "--depth", 5, "--pace", 5)
    assert values(test(*where), "depth", "pace") == (5, 0)
    assert values(resume(*where), "depth", "pace") == (5, 5)


def test_a_resumed_run_drops_what_belongs_to_one_start(own: list, tmp_path: Path) -> None:
    where = save_run(tmp_path, *own, "--once", 5, "--plain", 5, "--not_tested", 5, "--load_iter", 3)
    assert values(resume(*where), "once", "plain", "not_tested", "load_iter") == (0, 5, 5, 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], (0.25, 0.5, 1e-3)),
        (["--lr", 2e-3], (None, 0.5, 2e-3)),
        (["--lr", 2e-3, "--rate", 4], (4.0, None, 2e-3)),
        (["--ngf", 8], (0.25, None, 1e-3)),
    ],
)
def test_a_resumed_run_computes_again_what_follows_from_changed_flags(
    own: list, tmp_path: Path, words: list, expected: tuple
) -> None:
    where = save_run(tmp_path, *own, "--rate", 0.25, "--half", 0.5, "--lr", 1e-3)
    assert values(resume(*where, *words), "rate", "half", "lr_G") == expected


def test_a_resumed_run_computes_again_what_follows_from_shared_flags(tmp_path: Path) -> None:
    where = save_run(tmp_path, "--gan_mode", "wgangp", "--display", "console,html", "--no_html")
    assert values(resume(*where), "lambda_gp", "display") == (10.0, ["console"])
    assert resume(*where, "--gan_mode", "lsgan").lambda_gp == 0.0
    assert "html" in resume(*where, "--no_html", "no").display
    config = write_config(tmp_path, "gan_mode: hinge")
    assert resume(*where, "--config", config).lambda_gp == 0.0


def test_the_image_cache_knows_the_flags_that_change_pixels(own: list, tmp_path: Path) -> None:
    draw_images(tmp_path / "images", 2)
    words = [*own, "--dataset_mode", "single", "--dataroot", tmp_path / "images", "--cache", "disk"]
    words += ["--load_size", 16, "--crop_size", 16]

    def cached(*more: object, listed: bool = True) -> int:
        opt = TrainOptions().parse(list(map(str, [*words, *more])))
        assert "pixel_options" not in vars(opt)
        if not listed:
            opt = Namespace(**vars(opt))
        assert find_dataset_using_name("single")(opt)[0]["A"].shape == (3, 16, 16)
        return len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()])

    first = cached()
    assert cached("--plain", 1, "--seed", 1) == first
    second = cached("--shade", 1)
    assert second > first and cached("--shade", 1) == second
    assert cached(listed=False) < cached("--plain", 1, listed=False)  # any option may change the pixels


# ---------------------------------------------------------------------- files


def write_config(folder: Path, text: str) -> Path:
    pytest.importorskip("yaml")
    path = folder / "c.yaml"
    path.write_text(text)
    return path


def test_a_config_file_is_stronger_than_defaults_and_weaker_than_the_command_line(tmp_path: Path) -> None:
    text = "model: pix2pix\nbatch_size: 3\nno_flip: true\nlambda_L1: 7\nnorm: instance\n"
    opt = train("--config", write_config(tmp_path, text), "--batch_size", 5)
    found = values(opt, "model", "batch_size", "no_flip", "lambda_L1", "norm")
    assert found == ("pix2pix", 5, True, 7.0, "instance")
    assert train("--config", write_config(tmp_path, "no_dropout: false\ngpu_ids: -1\n")).no_dropout is False


def test_options_are_saved_in_both_forms(tmp_path: Path) -> None:
    save_run(tmp_path, "--ngf", 16)
    text = (tmp_path / "x" / "train_opt.txt").read_text().splitlines()
    assert text[0] == "----------------- Options ---------------"
    assert text[-1].startswith("----------------- End")
    assert f"{'ngf':>25}: {'16':<30}\t[default: 64]" in text and f"{'ndf':>25}: {'64':<30}" in text
    saved = json.loads((tmp_path / "x" / "opt.json").read_text())
    assert saved["ngf"] == 16 and saved["max_dataset_size"] == "inf" and "pixel_options" not in saved


def test_test_py_takes_the_architecture_from_the_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = "--model cycle_gan_attn --netG resnet_6blocks --attn_G_pos mid --crop_size 64"
    where = save_run(tmp_path, *words.split())
    opt = test(*where)
    found = values(opt, "model", "netG", "attn_G_pos", "crop_size", "load_size", "no_dropout")
    assert found == ("cycle_gan_attn", "resnet_6blocks", "mid", 64, 64, True)
    assert values(opt, "dataset_mode", "phase", "dataroot") == ("unaligned", "test", ".")
    assert not capsys.readouterr().err
    assert test(*where, "--netG", "resnet_9blocks").netG == "resnet_9blocks"
    assert names_all(capsys.readouterr().err, ["--netG", "resnet_9blocks", "resnet_6blocks"])
    single = test(*where, "--model", "test", "--model_suffix", "_A")
    assert values(single, "dataset_mode", "netG") == ("single", "resnet_6blocks")


def test_a_run_of_upstream_is_read_from_its_train_opt_txt(tmp_path: Path) -> None:
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
    assert values(opt, "model", "netG", "no_dropout") == ("cycle_gan", "resnet_6blocks", True)


def test_train_opt_txt_is_read_if_opt_json_is_missing(tmp_path: Path) -> None:
    words = "--model pix2pix --plugin_path . --no_dropout --display console,jsonl"
    where = save_run(tmp_path, *words.split())
    (tmp_path / "x" / "opt.json").unlink()
    opt = resume(*where)
    assert values(opt, "model", "plugin_path", "no_dropout") == ("pix2pix", ["."], True)
    assert values(opt, "display", "max_dataset_size") == (["console", "jsonl"], math.inf)


def test_testing_with_the_training_phase_does_not_overwrite_the_options_of_the_run(tmp_path: Path) -> None:
    where = save_run(tmp_path)
    before = (tmp_path / "x" / "train_opt.txt").read_text()
    options = TestOptions()
    options.save(options.parse(["--dataroot", ".", *map(str, where), "--phase", "train"]))
    assert (tmp_path / "x" / "train_opt.txt").read_text() == before
    assert "results_dir" in (tmp_path / "x" / "test_opt.txt").read_text()


def test_a_run_that_only_resized_its_images_is_tested_with_that_size(tmp_path: Path) -> None:
    where = save_run(tmp_path, "--preprocess", "resize", "--load_size", 64)
    assert values(test(*where), "load_size", "image_side") == (64, 64)
    assert test(*where, "--load_size", 128).image_side == 128
    other = test(*where, "--preprocess", "resize_and_crop")
    assert values(other, "load_size", "crop_size") == (256, 256)


def test_plugin_flags_of_every_kind_are_restored() -> None:
    parser = Parser("x", [])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1])
    parser.add_argument("--pair", type=int, nargs=2)
    parser.add_argument("--no_x", dest="use_x", action="store_false")
    parser.add_argument("--y", action="store_true")
    parser.add_argument("--path", action="append", default=[])
    saved = {"sizes": [0, 4, 8], "pair": [1, 2], "use_x": False, "y": True, "path": "one", "gone": 3}
    parser.layers = [("a run", saved)]
    opt = parser.parse_strictly()
    assert values(opt, "sizes", "pair", "use_x", "y", "path") == ([0, 4, 8], [1, 2], False, True, ["one"])
    parser.layers = [("a run", {"use_x": True, "y": False})]
    assert values(parser.parse_strictly(), "use_x", "y") == (True, False)


def test_a_resumed_run_takes_its_options_over(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    where = save_run(tmp_path, *"--model pix2pix --lambda_L1 5 --batch_size 2 --crop_size 256".split())
    opt = resume(*where, "--batch_size", 4)
    assert values(opt, "model", "lambda_L1", "dataroot", "batch_size") == ("pix2pix", 5.0, "tests", 4)
    err = capsys.readouterr().err
    assert names_all(err, ["--batch_size", "4", "2"]) and err.count("\n") == 1
    assert train(*where).lambda_A == 10.0  # without --continue_train nothing is taken over


def test_each_machine_chooses_its_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for words, resumed in (([], 5), (["--num_threads", "2"], 2)):
        monkeypatch.setattr(base_options, "default_num_threads", lambda cached: 3)
        where = save_run(tmp_path, *words)
        assert f"num_threads: {words[-1] if words else 3} " in (tmp_path / "x" / "train_opt.txt").read_text()
        monkeypatch.setattr(base_options, "default_num_threads", lambda cached: 5)
        for _ in range(2):  # resumed, and resumed once more
            options = TrainOptions()
            opt = options.parse(["--continue_train", *map(str, where)])
            options.save(opt)
            assert opt.num_threads == resumed
    where = save_run(tmp_path)
    assert resume(*where, "--num_threads", 1).num_threads == 1 and not capsys.readouterr().err


def test_damaged_options_of_a_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "opt.json").write_text("{")
    with refused(tmp_path / "opt.json"):
        saved_options.read_run(tmp_path)
    assert saved_options.read_run(tmp_path / "nowhere") == {}


# ---------------------------------------------------------------------- help and types


def ask(options: type[BaseOptions], words: str, capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as leaving:
        options().parse(words.split())
    assert leaving.value.code == 0
    return capsys.readouterr().out


def test_help_shows_groups_and_defaults_and_the_flags_of_a_model(capsys: pytest.CaptureFixture) -> None:
    shared = ask(TrainOptions, "--help", capsys)
    assert "networks:" in shared and "(default: 286)" in shared and "--lambda_L1" not in shared
    assert "--model NAME --help" in shared
    pix2pix = ask(TrainOptions, "--model pix2pix --help", capsys)
    assert "flags of --model pix2pix:" in pix2pix and "--lambda_L1" in pix2pix
    assert "(default: unet_256)" in pix2pix


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
