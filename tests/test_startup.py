"""What answers without torch, what is loaded when training starts, and that the look ahead is never wrong."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, draw_images

import data
import models
from options import ahead
from options.base_options import BaseOptions
from options.parser import Parser
from options.sample_options import SampleOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util import plugins
from util.errors import UserError


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, files of options, runs without weights, and a torch that nobody may import."""
    root = tmp_path_factory.mktemp("desk")
    for name in ("trainA", "trainB"):
        draw_images(root / "data" / name, 1)
    runs = {
        "torn": '{"model":',
        "gone": '{"plugin_path": ["mine"]}',
        "odd": '{"model": "pix2pix", "ngf": "many"}',
    }
    for name, options in {**runs, "empty": '{"dataroot": "data"}'}.items():
        (root / "checkpoints" / name).mkdir(parents=True)
        (root / "checkpoints" / name / "opt.json").write_text(options)
    (root / "some.txt").write_text("a file")
    for name, text in (
        ("bad", "a: [1"),
        ("key", "bach_size: 4"),
        ("value", "ngf: many"),
        ("far", "epoch: 7"),
    ):
        (root / f"{name}.yaml").write_text(text)
    (root / "fake" / "torch").mkdir(parents=True)
    (root / "fake" / "torch" / "__init__.py").write_text("raise SystemExit('torch was imported')")
    return root


def run_without_torch(desk: Path, command: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script of ours where importing torch ends the program."""
    script, *words = command.split()
    environment = {**os.environ, "PYTHONPATH": str(desk / "fake"), "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, str(ROOT / script), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=desk, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_the_desk_tells_when_torch_is_imported(desk: Path) -> None:
    assert run_without_torch(desk, "train.py --dataroot data --lambda_A much") == (
        1,
        "",
        "torch was imported\n",
    )


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("train.py --help", "--batch_size"),
        ("train.py --list_models", "cycle_gan_attn "),
        ("train.py --list_datasets", "unaligned "),
        ("test.py --help", "--results_dir"),
        ("test.py --list_models", "pix2pix "),
        ("scripts/sample.py --help", "--truncations"),
    ],
)
def test_questions_are_answered_without_torch(command: str, says: str, desk: Path) -> None:
    code, out, err = run_without_torch(desk, command)
    assert (code, err) == (0, "")
    assert says in out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        # names
        ("train.py --model cycle_gn", "did you mean cycle_gan?"),
        ("train.py --dataset_mode unalined --dataroot data", "did you mean unaligned?"),
        ("train.py --plugin_path nowhere", "--plugin_path nowhere: there is no such folder"),
        ("test.py --name gone --dataroot data", "--plugin_path mine: there is no such folder"),
        ("test.py --model cycle_gn", "did you mean cycle_gan?"),
        # flags
        ("train.py --dataroot data --bach_size 4", "did you mean --batch_size?"),
        ("train.py --dataroot data --xyzzy=4", "see train.py --help and train.py --model NAME --help"),
        ("train.py --dataroot data --lambda_A 4 --bach_size 4", "--bach_size is no flag"),
        ("test.py --dataroot data --bach_size 4", "did you mean --batch_size?"),
        ("scripts/sample.py --name empty --colums 4", "did you mean --columns?"),
        ("train.py data", "every option needs a flag before it"),
        # values
        ("train.py --dataroot data --batch_size x", "--batch_size: x is not a whole number"),
        ("train.py --dataroot data --lr 0", "--lr: 0 must be more than 0"),
        ("test.py --dataroot data --name odd", "the options of checkpoints/odd: --ngf: many is not a whole"),
        # what is missing
        ("train.py", "--dataroot is missing"),
        ("train.py --model dcgan", "--dataroot is missing"),
        ("test.py", "there is no checkpoints/experiment_name: check --name"),
        ("test.py --name empty", "--dataroot is missing"),
        ("train.py --continue_train --name nobody", "nobody holds no weights of latest; it holds none"),
        ("train.py --continue_train --name empty --epoch 7", "empty holds no weights of 7; it holds none"),
        ("train.py --continue_train --name empty --load_iter 9", "empty holds no weights of iter_9"),
        ("train.py --continue_train --name empty --config far.yaml", "empty holds no weights of 7"),
        ("scripts/sample.py --name nobody", "there is no checkpoints/nobody"),
        # what does not go together
        (
            "train.py --dataroot data --preprocess resize_and_crop --crop_size 64 --load_size 20",
            "--load_size 20 is smaller than --crop_size 64",
        ),
        ("train.py --dataroot data --batch_size 4 --accumulate 3", "--accumulate 3 must divide"),
        ("train.py --dataroot data --n_epochs 0 --n_epochs_decay 0", "there is nothing to train"),
        ("train.py --dataroot data --diffaug colour", "did you mean color?"),
        ("train.py --dataroot data --display consle", "did you mean console?"),
        # files and folders
        ("train.py --dataroot data --config no.yaml", "--config no.yaml cannot be read"),
        ("train.py --dataroot data --config bad.yaml", "--config bad.yaml is not valid YAML"),
        (
            "train.py --dataroot data --config key.yaml",
            "--config key.yaml: --bach_size is no flag of train.py",
        ),
        ("train.py --dataroot data --config value.yaml", "--config value.yaml: --ngf: many is not"),
        ("train.py --dataroot data --name ../x", "--name ../x must be a plain name"),
        ("train.py --dataroot data --phase ../x", "--phase ../x must be a plain name"),
        ("train.py --dataroot data --checkpoints_dir some.txt/x", "some.txt is a file, not a folder"),
        ("test.py --dataroot data --results_dir some.txt/x", "some.txt is a file, not a folder"),
        ("test.py --dataroot data --name torn", "opt.json is damaged"),
    ],
)
def test_mistakes_are_told_without_torch(command: str, says: str, desk: Path) -> None:
    if ".yaml" in command:
        pytest.importorskip("yaml")
    code, out, err = run_without_torch(desk, command)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and says in err and err.count("\n") == 1


def test_training_starts_with_no_more_than_torch() -> None:
    """Neither torch's compiler nor torchvision: a model, its data, an optimizer through its life; garbage is searched for again."""
    code = """if True:
        import gc, sys
        from util import plugins
        plugins.find("model", "cycle_gan"), plugins.find("model", "biggan"), plugins.find("dataset", "unaligned")
        import data.loader, util.runs, torch
        from models.training.fused_adam import adam
        weight = torch.nn.Parameter(torch.ones(1))
        made = adam([weight], lr=1.0, betas=(0.0, 0.9), fused=True)
        made.zero_grad()
        weight.sum().backward()
        made.step()
        made.load_state_dict(made.state_dict())
        heavy = ("torchvision", "torch._dynamo", "sympy", "scipy", "dominate", "visdom", "yaml", "h5py")
        print([name for name in heavy if name in sys.modules], gc.isenabled(), gc.get_freeze_count() > 10_000)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[] True True\n", "")


# ---------------------------------------------------------------------- what the look ahead rests on

PLUGINS = [(kind, name) for kind, names in ahead.OURS.items() for name in names]
ALL: list[BaseOptions] = [TrainOptions(), TestOptions(), SampleOptions()]


@pytest.mark.parametrize("options", ALL, ids=lambda options: options.prog)
@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_what_is_settled_ahead_is_left_alone_by_our_plugins(
    kind: str, name: str, options: BaseOptions
) -> None:
    if (name, options.is_train) == ("test", True):
        pytest.skip("it cannot be trained and says so")
    plain, filled = Parser("x", []), Parser("x", [])
    for parser in (plain, filled):
        options.initialize(parser)
    plugins.find(kind, name).modify_commandline_options(filled, options.is_train)
    before, after = ({**vars(parser.parse_args([]))} for parser in (plain, filled))
    assert {one for one in before if before[one] != after[one]}.isdisjoint(ahead.UNTOUCHED)
    assert filled._option_string_actions.keys() - plain._option_string_actions.keys() <= plugins.flags()


def test_every_settled_name_is_a_shared_flag() -> None:
    parsers = [Parser("x", []) for _ in ALL]
    for options, parser in zip(ALL, parsers, strict=True):
        options.initialize(parser)
    assert {action.dest for parser in parsers for action in parser._actions} >= ahead.UNTOUCHED


def test_every_plugin_of_ours_is_known_ahead() -> None:
    """What is not, is a person's, of which nothing can be told before torch is loaded."""
    listing = ["git", "ls-files", *plugins.PACKAGES.values()]
    done = subprocess.run(listing, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        pytest.skip("this is no checkout of git")
    ours = {ROOT / line for line in done.stdout.splitlines()}
    for kind, names in ahead.OURS.items():
        assert names == sorted(name for name, path in plugins.files(kind).items() if path in ours)


def stranger(folder: Path, *lines: str) -> list[str]:
    """Words that choose a plugin of a person's own, whose flags are what `lines` say."""
    body = "".join(f"        {line}\n" for line in lines)
    text = "from models.template_model import *\nclass OwnModel(TemplateModel):\n    @staticmethod\n"
    text += f"    def modify_commandline_options(parser, is_train):\n{body}        return parser\n"
    (folder / "own_model.py").write_text(text)
    return ["--plugin_path", str(folder), "--model", "own"]


def test_a_plugin_from_outside_may_change_any_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_model", raising=False)
    words = stranger(
        tmp_path,
        "parser.set_defaults(dataroot='.', checkpoints_dir='elsewhere', display=['console'])",
        "parser.add_argument('--' + 'late', type=int)",
    )
    opt = TrainOptions().parse([*words, "--late", "3"])
    assert (opt.dataroot, opt.checkpoints_dir, opt.display, opt.late) == (".", "elsewhere", ["console"], 3)
    with pytest.raises(UserError, match=r"--lat is no flag of train\.py .* did you mean --late\?"):
        TrainOptions().parse([*words, "--lat", "3"])


@pytest.fixture
def beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a plugin file into copies of models/ and data/ that stand for them."""
    for package in (data, models):
        name = package.__name__
        (tmp_path / name).mkdir()
        for path in (ROOT / name).glob("*.py"):
            shutil.copy(path, tmp_path / name)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / name)])
        for path in ("own_dataset", "own_model"):
            monkeypatch.delitem(sys.modules, f"{name}.{path}", raising=False)
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    return lambda file, text: (tmp_path / file).write_text(textwrap.dedent(text))


OWN_MODEL = """
    from models.template_model import TemplateModel
    class OwnModel(TemplateModel):
        @staticmethod
        def modify_commandline_options(parser, is_train):
            parser.set_defaults(name="bar", dataroot=".")
            parser.add_argument('--single', type=int)
            parser.add_argument("--with-hyphen", type=int)
            parser.add_argument("--" + "built", type=int)
            return parser
"""
OWN_DATA = """
    from data.template_dataset import TemplateDataset
    class OwnDataset(TemplateDataset):
        needs_dataroot = False
        @staticmethod
        def modify_commandline_options(parser, is_train):
            parser.add_argument('--points', type=int, default=3)
            return parser
"""


def test_a_plugin_beside_ours_may_do_what_one_from_outside_may(
    beside_ours: Callable[[str, str], None],
) -> None:
    beside_ours("models/own_model.py", OWN_MODEL)
    opt = TrainOptions().parse("--model own --single 1 --with-hyphen 2 --built 3".split())
    assert (opt.name, opt.dataroot) == ("bar", ".")
    assert (opt.single, opt.with_hyphen, opt.built) == (1, 2, 3)
    with pytest.raises(UserError, match=r"--buildt is no flag of train\.py .* did you mean --built\?"):
        TrainOptions().parse(["--model", "own", "--buildt", "3"])


def test_a_data_set_beside_ours_may_do_without_a_folder(
    beside_ours: Callable[[str, str], None], tmp_path: Path
) -> None:
    beside_ours("data/own_dataset.py", OWN_DATA)
    where, options = ["--checkpoints_dir", str(tmp_path), "--name", "x"], TrainOptions()
    opt = options.parse([*where, "--dataset_mode", "own", "--points", "5"])
    assert (opt.dataroot, opt.points) == (None, 5)
    options.save(opt)
    for words, points in (([], 5), (["--points", "7"], 7)):
        tested = TestOptions().parse([*where, *words])
        assert (tested.dataset_mode, tested.dataroot, tested.points) == ("own", None, points)


def test_a_size_that_testing_fills_in_is_not_judged_as_the_runs_own(tmp_path: Path) -> None:
    where = ["--dataroot", ".", "--checkpoints_dir", str(tmp_path), "--name", "x"]
    options = TrainOptions()
    options.save(options.parse([*where, "--preprocess", "resize", "--load_size", "64"]))
    opt = TestOptions().parse([*where, "--preprocess", "resize_and_crop"])
    assert (opt.load_size, opt.crop_size) == (256, 256)


@pytest.mark.parametrize(
    "words",
    [
        "--model dcgan --accumulate 32",  # of its own batches of 64 images
        "--model dcgan --epoch_count 100",  # of its own 100
        "--model dcgan --crop_size 32 --preprocess center",
        "--model cycle_gan_attn --suffix {attn_G_pos}",
        "--lambda_A 3 --lambda_B=4",
    ],
)
def test_what_a_plugin_may_settle_is_not_judged_ahead(words: str) -> None:
    assert TrainOptions().parse(["--dataroot", ".", *words.split()]).dataroot == "."
