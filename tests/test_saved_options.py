"""Options that a run saves, and which of them a resumed run, test.py and the image cache take over."""

import json
import math
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, draw_images, names_all, refused
from parsing import resume, save_run, test, train, values, write_config

from data import find_dataset_using_name
from options import base_options, saved_options
from options.base_options import BaseOptions
from options.parser import Parser
from options.test_options import TestOptions
from options.train_options import TrainOptions

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
def own(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    """The words that choose a model whose flags have each attribute, and small images without a name of a run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    plugins = tmp_path_factory.mktemp("plugins")  # not in --checkpoints_dir, where received runs are put
    (plugins / "flagged_model.py").write_text(FLAGGED_MODEL)
    return ["--plugin_path", plugins, "--model", "flagged"]


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
    assert resume(*where, "--config", write_config(tmp_path, "gan_mode: hinge")).lambda_gp == 0.0


def test_a_value_that_a_config_file_repeats_changes_nothing_on_resume(tmp_path: Path) -> None:
    where = save_run(tmp_path, "--gan_mode", "wgangp", "--lambda_gp", 5)
    assert resume(*where, "--config", write_config(tmp_path, "gan_mode: wgangp")).lambda_gp == 5.0


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
    opt = parser.parse_args()
    assert values(opt, "sizes", "pair", "use_x", "y", "path") == ([0, 4, 8], [1, 2], False, True, ["one"])
    parser.layers = [("a run", {"use_x": True, "y": False})]
    assert values(parser.parse_args(), "use_x", "y") == (True, False)


def test_a_resumed_run_takes_its_options_over(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    where = save_run(tmp_path, *"--model pix2pix --lambda_L1 5 --batch_size 2 --crop_size 256".split())
    opt = resume(*where, "--batch_size", 4)
    assert values(opt, "model", "lambda_L1", "dataroot", "batch_size") == ("pix2pix", 5.0, str(ROOT), 4)
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
