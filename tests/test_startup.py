"""Which commands end without importing torch, what a start of training imports, and what is read from plugins' source."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, draw_images, names_all, refused
from wrong_uses import snapshot

import data
import models
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util import plugin_source, plugins

# command -> what its output names; none of them may import torch
QUESTIONS = {
    "train.py --help": "--batch_size --netG resnet_9blocks",
    "train.py --list_models": "cycle_gan_attn pix2pix",
    "train.py --list_datasets": "unaligned",
    "test.py --help": "--results_dir",
    "scripts/sample.py --help": "--truncations test.py",
}
MISTAKES = {
    "train.py --model cycle_gn": "--model cycle_gn cycle_gan",
    "train.py --dataset_mode unalined --dataroot data": "--dataset_mode unalined unaligned",
    "train.py --plugin_path nowhere": "--plugin_path nowhere",
    "test.py --model cycle_gn": "--model cycle_gn cycle_gan",
    "test.py --name gone --dataroot data": "--plugin_path gone_plugins",
    "train.py --dataroot data --bach_size 4": "--bach_size --batch_size",
    "train.py --dataroot data --lambda_A 4 --bach_size 4": "--bach_size --batch_size",
    "train.py --dataroot data --lambda_L1 4": "--lambda_L1 --model pix2pix",
    "train.py --dataroot data --xyzzy=4": "--xyzzy --help",
    "train.py --dataroot data --plugin_path mine --model literal --xyzzy=4": "--xyzzy",
    "train.py --dataroot data --config key.json": "--config key.json --bach_size --batch_size",
    "test.py --dataroot data --bach_size 4": "--bach_size --batch_size",
    "scripts/sample.py --name empty --colums 4": "--colums --columns",
    "train.py data": "data",
    "train.py --dataroot data --batch_size x": "--batch_size x",
    "train.py": "--dataroot",
    "train.py --model dcgan": "--dataroot",
    "train.py --plugin_path mine --model literal": "--dataroot",
    "train.py --dataroot nowhere": "--dataroot nowhere",
    "train.py --dataroot nowhere --model pix2pix": "--dataroot nowhere",
    "test.py": "checkpoints/experiment_name --name",
    "test.py --name empty": "--dataroot",
    "test.py --name empty --dataroot nowhere": "--dataroot nowhere",
    "train.py --continue_train --name nobody": "checkpoints/nobody",
    "train.py --continue_train --name empty --epoch 7": "checkpoints/empty --continue_train",
    "train.py --continue_train --name empty --load_iter 9": "checkpoints/empty --continue_train",
    "scripts/sample.py --name nobody": "checkpoints/nobody",
}
# these import the plugin: an unclear flag in its source, a data set without --dataroot, a value of its own flag
IMPORTING = [
    "train.py --dataroot data --plugin_path mine --model computed --xyzzy 4",
    "train.py --dataset_mode noise",
    "train.py --dataroot data --lambda_A much",
    "train.py --dataroot nowhere --dataset_mode torchvision",
]
LITERAL = """
    from models.template_model import *
    class LiteralModel(TemplateModel):
        @staticmethod
        def modify_commandline_options(parser, is_train):
            parser.add_argument('--own', type=int)
            return parser
"""
DRIVER = """if True:
    import contextlib, importlib.util, io, json, sys
    from util import errors
    results = {}
    for command in json.loads(sys.argv[1]):
        path, *words = command.split()
        sys.argv = [path, *words]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                spec = importlib.util.spec_from_file_location("script", f"{sys.path[0]}/{path}")
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                code = errors.run(module.main)
            except SystemExit as leaving:
                code = leaving.code
        results[command] = [code, out.getvalue(), err.getvalue()]
    print(json.dumps(results))"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    """Command -> (exit code, stdout, stderr), all in one process in which importing torch exits with "torch"."""
    root = tmp_path_factory.mktemp("startup")
    for name in ("trainA", "trainB"):
        draw_images(root / "data" / name, 1)
    files = {
        "checkpoints/gone/opt.json": '{"plugin_path": ["gone_plugins"]}',
        "checkpoints/empty/opt.json": '{"dataroot": "data"}',
        "key.json": '{"bach_size": 4}',
        "fake/torch/__init__.py": "raise SystemExit('torch')",
        "mine/literal_model.py": textwrap.dedent(LITERAL),
        "mine/computed_model.py": textwrap.dedent(LITERAL).replace("'--own'", "'--' + 'own'"),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    commands = json.dumps([*QUESTIONS, *MISTAKES, *IMPORTING])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(root / "fake")])}
    argv = [sys.executable, "-c", f"import sys; sys.path[0] = {str(ROOT)!r}\n{DRIVER}", commands]
    before = snapshot(root)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=root, env=environment)
    assert not done.returncode, done.stderr
    assert snapshot(root) == before, "no command may write a file"
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", QUESTIONS)
def test_questions_are_answered_without_torch(command: str, results: dict[str, tuple]) -> None:
    code, out, err = results[command]
    assert (code, err) == (0, "") and names_all(out, QUESTIONS[command].split())


@pytest.mark.parametrize("command", MISTAKES)
def test_common_mistakes_are_reported_without_torch(command: str, results: dict[str, tuple]) -> None:
    if ".json" in command:
        pytest.importorskip("yaml")
    code, out, err = results[command]
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ") and err.count("\n") == 1 and names_all(err, MISTAKES[command].split())


@pytest.mark.parametrize("command", IMPORTING)
def test_a_plugin_is_imported_where_its_source_is_unclear(command: str, results: dict[str, tuple]) -> None:
    assert results[command] == ["torch", "", ""]


def test_training_imports_no_heavy_package_but_torch() -> None:
    """Neither torch's compiler nor torchvision, through a model, its data, and the life of an optimizer."""
    code = """if True:
        import sys
        from util import plugins
        plugins.find("model", "cycle_gan"), plugins.find("model", "biggan"), plugins.find("dataset", "unaligned")
        import data.loader, util.run.lifecycle, torch
        from models.training.fused_adam import adam
        weight = torch.nn.Parameter(torch.ones(1))
        made = adam([weight], lr=1.0, betas=(0.0, 0.9), fused=True)
        made.zero_grad()
        weight.sum().backward()
        made.step()
        made.load_state_dict(made.state_dict())
        heavy = ("torchvision", "torch._dynamo", "sympy", "scipy", "dominate", "visdom", "yaml", "h5py")
        print([name for name in heavy if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def own_facts(folder: Path, text: str) -> plugin_source.Facts:
    (folder / "own_model.py").write_text(text)
    return plugin_source.read([folder / "own_model.py"], is_train=True)


@pytest.mark.parametrize(
    ("line", "flags", "complete"),
    [
        ("parser.add_argument('--a', type=int)", {"--a"}, True),
        ("parser.add_argument(\n    '-a', '--a')", {"-a", "--a"}, True),
        ("parser.flag('--a', 'help')", {"--a"}, True),
        ("parser.add_argument_group('x').add_argument('--a')", {"--a"}, True),
        ("parser.add_argument('--' + name)", set(), False),
        ("add = parser.add_argument", set(), False),
        ("import beside; beside.add(parser)", {"--beside"}, True),
        ("from package.inner import add; add(parser)", {"--inner"}, True),
        ("import somewhere_else; somewhere_else.add(parser)", set(), False),
        ("import numpy, math", set(), True),
        ("def broken(:", set(), False),
    ],
)
def test_flags_are_read_from_the_source(tmp_path: Path, line: str, flags: set, complete: bool) -> None:
    (tmp_path / "package").mkdir()
    for name in ("beside", "package/inner"):
        (tmp_path / f"{name}.py").write_text(f"def add(p): p.add_argument('--{Path(name).name}')")
    facts = own_facts(tmp_path, line)
    assert facts.complete == complete and (flags <= facts.flags or not complete)
    assert "--lambda_regression" in own_facts(tmp_path, "from models.template_model import *").flags


def test_defaults_are_read_from_the_branch_of_training(tmp_path: Path) -> None:
    text = "def f(p, is_train):\n  if is_train: p.set_defaults(name='a', x=len('b'))\n  else: p.set_defaults(epoch='c')"
    facts = own_facts(tmp_path, text)
    assert facts.defaults == {"name": {"a"}, "x": {plugin_source.COMPUTED}}
    assert facts.may_set("name") and not facts.may_set("epoch")
    assert own_facts(tmp_path, "p.set_defaults(**more)").may_set("epoch")


def test_class_attributes_are_read_from_the_source(tmp_path: Path) -> None:
    star = "from data.base_dataset import *\n"
    sources = {
        "own": f"{star}class Own(BaseDataset): pass",
        "pixel": f"{star}class Own(PixelDataset): pass",
        "child": "import own_dataset\nclass C(own_dataset.Own): needs_dataroot = False",
        "odd": f"import odd\n{star}class Odd(odd.Own): pass",
    }
    for name, text in sources.items():
        (tmp_path / f"{name}_dataset.py").write_text(text)

    def says(file: str, attribute: str = "needs_dataroot") -> bool:
        return plugin_source.read([tmp_path / f"{file}_dataset.py"], is_train=True).says(attribute, True)

    assert says("own") and says("pixel") and not says("child") and not says("odd")
    assert says("pixel", "dataroot_must_exist") and not says("own", "dataroot_must_exist")


def test_what_the_source_of_a_built_in_plugin_says_is_true() -> None:
    values = {"test_dataset": None, "needs_dataroot": True, "dataroot_must_exist": True}
    said = set()
    for kind in plugins.PACKAGES:
        for name, path in plugins.files(kind).items():
            facts = plugin_source.read([path], is_train=False)
            for attribute, value in values.items():
                if facts.says(attribute, value):
                    assert getattr(plugins.find(kind, name), attribute) == value
                    said.add(f"{name} {attribute}")
    assert said >= {"unaligned needs_dataroot", "aligned dataroot_must_exist", "cycle_gan test_dataset"}


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes plugin files, into a folder of the user or into copies of models/ and data/ that replace them."""
    for package in (data, models):
        name = package.__name__
        (tmp_path / name).mkdir()
        for path in (ROOT / name).glob("*.py"):
            shutil.copy(path, tmp_path / name)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / name)])
    for module in ("own_model", "models.own_model", "data.own_dataset"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    return lambda file, text: (tmp_path / file).write_text(textwrap.dedent(text))


OWN_MODEL = """
    from models.template_model import TemplateModel
    class OwnModel(TemplateModel):
        @staticmethod
        def modify_commandline_options(parser, is_train):
            parser.set_defaults(name="bar", dataroot=".", checkpoints_dir="elsewhere", display=["console"])
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


@pytest.mark.parametrize("folder", [".", "models"])
def test_a_users_model_may_change_any_default_and_build_names_of_flags(
    folder: str, own_files: Callable[[str, str], None], tmp_path: Path
) -> None:
    own_files(f"{folder}/own_model.py", OWN_MODEL)
    words = ["--model", "own", *(["--plugin_path", str(tmp_path)] if folder == "." else [])]
    opt = TrainOptions().parse([*words, *"--single 1 --with-hyphen 2 --built 3".split()])
    assert (opt.name, opt.dataroot, opt.checkpoints_dir) == ("bar", ".", "elsewhere")
    assert (opt.display, opt.single, opt.with_hyphen, opt.built) == (["console"], 1, 2, 3)
    with refused("--buildt", "--built"):
        TrainOptions().parse([*words, "--buildt", "3"])


def test_a_users_data_set_may_need_no_folder(own_files: Callable[[str, str], None], tmp_path: Path) -> None:
    own_files("data/own_dataset.py", OWN_DATA)
    where, options = ["--checkpoints_dir", str(tmp_path), "--name", "x"], TrainOptions()
    opt = options.parse([*where, "--dataset_mode", "own", "--points", "5"])
    assert (opt.dataroot, opt.points) == (None, 5)
    options.save(opt)
    for words, points in (([], 5), (["--points", "7"], 7)):
        tested = TestOptions().parse([*where, *words])
        assert (tested.dataset_mode, tested.dataroot, tested.points) == ("own", None, points)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--model dcgan --accumulate 32", {"batch_size": 64}),
        ("--model dcgan --epoch_count 100", {"n_epochs": 100, "n_epochs_decay": 0}),
        ("--model dcgan --crop_size 32 --preprocess center", {"load_size": 64}),
        ("--model cycle_gan_attn --suffix {attn_G_pos}", {"name": "experiment_name_trunk"}),
        ("--lambda_A 3 --lambda_B=4", {"lambda_A": 3.0, "lambda_B": 4.0}),
    ],
)
def test_values_are_checked_with_the_defaults_of_plugins(words: str, expected: dict) -> None:
    opt: Namespace = TrainOptions().parse(["--dataroot", ".", *words.split()])
    assert {name: getattr(opt, name) for name in expected} == expected
