"""A run folder that this user did not train is data: its options import no code and name no servers."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import BARE, names_all, refused
from parsing import resume, save_run, test

from options.train_options import TrainOptions
from util import trained_with
from util.cache_folder import cache_folder, state_folder

PLUGINS = {
    "model": '''"""A model that shows that it was imported."""
from pathlib import Path

Path({marker!r}).touch()

from models.cycle_gan_model import CycleGANModel


class {title}Model(CycleGANModel):
    """Equal to CycleGAN."""
''',
    "dataset": '''"""A data set that shows that it was imported."""
from pathlib import Path

Path({marker!r}).touch()

from data.unaligned_dataset import UnalignedDataset


class {title}Dataset(UnalignedDataset):
    """Equal to unaligned."""
''',
}
Runner = Callable[..., int]
COMMANDS = {
    "test.py": ("test.py", "--dataroot", "photos"),
    "train.py": ("train.py", "--continue_train"),
    "sample.py": ("scripts/sample.py",),
}


@pytest.fixture(autouse=True)
def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This user has trained nothing yet; the plugins that a test imports are forgotten after it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    forget_plugins()


def forget_plugins() -> None:
    for name in {"foreign_model", "foreign_dataset", "mine_model"} & sys.modules.keys():
        del sys.modules[name]


def write_plugin(folder: Path, kind: str, name: str, marker: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = PLUGINS[kind].format(marker=str(marker), title=name.capitalize())
    (folder / f"{name}_{kind}.py").write_text(text)


def write_run(folder: Path, options: dict, file: str = "opt.json") -> None:
    """A run as it is received: its options in one of the two forms, and a state."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["----------------- Options ---------------"]
    lines += [f"{name:>25}: {value!s:<30}" for name, value in options.items()]
    text = (
        json.dumps(options)
        if file == "opt.json"
        else "\n".join([*lines, "----------------- End -----------"])
    )
    (folder / file).write_text(text)
    torch.save({}, folder / "latest_state.pt")


@pytest.mark.parametrize("file", ["opt.json", "train_opt.txt"])
@pytest.mark.parametrize("kind", PLUGINS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_foreign_run_imports_no_code(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture, command: str, kind: str, file: str
) -> None:
    """The user repeats --plugin_path for a folder that no training of this user has recorded."""
    folder, marker = tmp_path / "checkpoints" / "received", tmp_path / "imported"
    write_plugin(folder, kind, "foreign", marker)
    names = {"model": "cycle_gan", "dataset_mode": "unaligned"}
    names["model" if kind == "model" else "dataset_mode"] = "foreign"
    write_run(folder, names | {"plugin_path": [str(folder)], "dataroot": "photos"}, file)
    code = run_script(*COMMANDS[command], "--name", "received")
    err = capfd.readouterr().err
    assert not marker.exists() and code == 2 and "Traceback" not in err
    assert names_all(err.strip().splitlines()[-1], ["--plugin_path", folder])


@pytest.mark.parametrize("words", [[], ["--suffix", "{netG}"]], ids=["plain", "suffix"])
def test_relative_paths_links_and_texts_are_foreign_as_well(tmp_path: Path, words: list[str]) -> None:
    marker = tmp_path / "imported"
    suffix = "_resnet_9blocks" if words else ""
    write_plugin(tmp_path / "checkpoints" / "deep", "model", "foreign", marker)
    (tmp_path / "link").symlink_to(tmp_path / "checkpoints" / "deep")
    for number, value in enumerate((["link"], "link", ["checkpoints/deep"], ["photos", "../x"])):
        folder = tmp_path / "checkpoints" / f"r{number}{suffix}"
        write_run(folder, {"model": "foreign", "plugin_path": value})
        with refused("--plugin_path", value if isinstance(value, str) else value[0]):
            test("--name", f"r{number}", *words)
    assert not marker.exists()


def test_a_folder_of_ones_own_training_is_used_although_its_files_change(tmp_path: Path) -> None:
    """The folder is recorded by its real path: another working folder or a moved run changes nothing."""
    write_plugin(tmp_path / "mine", "model", "mine", tmp_path / "imported")
    where = save_run(tmp_path / "runs", "--plugin_path", tmp_path / "mine", "--model", "mine")
    assert test(*where).model == "mine"
    (tmp_path / "mine" / "mine_model.py").write_text(
        "# edited\n" + (tmp_path / "mine" / "mine_model.py").read_text()
    )
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert resume("--checkpoints_dir", "moved", "--name", "x").plugin_path == [str(tmp_path / "mine")]
    (tmp_path / "mine").rename(tmp_path / "other")
    (tmp_path / "mine").symlink_to(tmp_path / "other")  # another real path
    with refused("--plugin_path", tmp_path / "mine"):
        resume("--checkpoints_dir", "moved", "--name", "x")


def test_a_relative_folder_counts_in_its_own_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(tmp_path / "mine", "model", "mine", tmp_path / "imported")
    where = save_run(tmp_path / "runs", "--plugin_path", "mine", "--model", "mine")
    assert test(*where).model == "mine"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with refused("--plugin_path", "mine"):
        test(*where)
    assert test(*where, "--plugin_path", "../mine").model == "mine"


def test_a_folder_beside_runs_is_asked_for_every_time(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A received folder may be copied over it."""
    plugins = tmp_path / "runs" / "x" / "code"
    write_plugin(plugins, "model", "mine", tmp_path / "imported")
    where = save_run(tmp_path / "runs", "--plugin_path", plugins, "--model", "mine")
    with refused("--plugin_path", plugins):
        test(*where)
    assert test(*where, "--plugin_path", plugins).plugin_path == [str(plugins)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"display_server": "http://foreign.example"}, ["--display_server", "http://foreign.example"]),
        ({"display_port": 25}, ["--display_port", "25"]),
        ({"use_wandb": True}, ["--use_wandb", "True"]),
        ({"display_env": "theirs"}, ["--display_env", "theirs"]),
        ({"wandb_project_name": "theirs"}, ["--wandb_project_name", "theirs"]),
        ({"display": ["console", "wandb"]}, ["--display", "console", "wandb"]),
    ],
    ids=str,
)
def test_a_foreign_run_names_no_server(tmp_path: Path, options: dict, words: list[str]) -> None:
    write_run(tmp_path / "checkpoints" / "received", {"dataroot": str(tmp_path)} | options)
    with refused(*words):
        resume("--name", "received")
    assert test("--name", "received").name == "received"  # testing contacts none


def test_servers_of_ones_own_training_are_resumed_without_asking(tmp_path: Path) -> None:
    where = save_run(tmp_path, "--display_server", "http://mine.example", "--display_port", 8100)
    opt = resume(*where)
    assert opt.display_server == "http://mine.example" and opt.display_port == 8100


def test_a_foreign_run_names_no_folder_to_write_to(tmp_path: Path) -> None:
    outside = str(tmp_path / "outside")
    options = dict.fromkeys(("checkpoints_dir", "results_dir", "init_from", "config"), outside)
    write_run(
        tmp_path / "checkpoints" / "received", options | {"name": "../other", "dataroot": str(tmp_path)}
    )
    resumed, tested = resume("--name", "received"), test("--name", "received")
    for opt in (resumed, tested):
        assert outside not in map(str, vars(opt).values()) and opt.name == "received"


def test_a_foreign_run_downloads_nothing(tmp_path: Path) -> None:
    options = {
        "dataset_mode": "torchvision",
        "tv_dataset": "MNIST",
        "download": True,
        "dataroot": str(tmp_path),
    }
    write_run(tmp_path / "checkpoints" / "received", options | {"model": "dcgan"})
    assert resume("--name", "received").download is False


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe"])
def test_training_does_not_write_through_a_received_folder(tmp_path: Path, kind: str) -> None:
    folder, victim = Path("checkpoints", "received"), tmp_path / "victim"
    write_run(folder, {"dataroot": str(tmp_path)})
    if kind == "pipe":
        os.mkfifo(folder / "loss_log.txt")
    elif kind == "link to a file":
        (folder / "loss_log.txt").symlink_to(victim)
    else:
        (folder / "web").symlink_to(tmp_path)
    with refused(folder / ("web" if kind == "link to a folder" else "loss_log.txt")):
        resume("--name", "received")


def test_a_folder_that_cannot_be_recorded_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_plugin(tmp_path / "mine", "model", "mine", tmp_path / "imported")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    where = save_run(tmp_path / "runs", "--plugin_path", tmp_path / "mine", "--model", "mine")
    assert names_all(capsys.readouterr().err, ["warning", "--plugin_path", tmp_path / "mine"])
    with refused("--plugin_path", tmp_path / "mine"):
        test(*where)


def test_the_state_folder_is_absolute_or_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder("x") == tmp_path / ".local" / "state" / "zebrawood" / "x"
    monkeypatch.setattr(
        os.path, "expanduser", lambda path: path
    )  # no HOME, and no entry in the list of users
    assert state_folder("x") is None and not trained_with.is_recorded("plugin_path", "/x")


def test_training_and_testing_with_an_own_plugin_need_its_folder_once(
    run_script: Runner, tmp_path: Path, unpaired: Path
) -> None:
    write_plugin(tmp_path / "plugins", "model", "mine", tmp_path / "imported")
    words = [
        *BARE,
        "--netG",
        "resnet_6blocks",
        "--n_epochs",
        1,
        "--n_epochs_decay",
        0,
        "--max_dataset_size",
        1,
    ]
    words += ["--dataroot", unpaired, "--name", "own", "--display", "console", "--model", "mine"]
    assert run_script("train.py", *words, "--plugin_path", tmp_path / "plugins") == 0
    assert run_script("test.py", "--name", "own", "--dataroot", unpaired, "--num_test", 1) == 0


def test_options_of_a_plugin_cannot_smuggle_flags_in(tmp_path: Path) -> None:
    """A list of values becomes words of a command line, and none of them may be a flag."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine_model.py").write_text(
        "from models.template_model import *\n"
        "class MineModel(TemplateModel):\n"
        "    @staticmethod\n"
        "    def modify_commandline_options(parser, is_train):\n"
        "        TemplateModel.modify_commandline_options(parser, is_train)\n"
        "        parser.add_argument('--words', nargs='*', default=[])\n"
        "        return parser\n"
    )
    where = save_run(tmp_path / "runs", "--plugin_path", tmp_path / "mine", "--model", "mine")
    path = tmp_path / "runs" / "x" / "opt.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"words": ["--display_server=http://x"]}))
    with refused("--words"):
        resume(*where)


def test_training_records_what_the_command_line_names(tmp_path: Path) -> None:
    options = TrainOptions()
    opt: Namespace = options.parse(
        ["--dataroot", ".", "--checkpoints_dir", str(tmp_path / "runs"), "--display_port", "1"]
    )
    assert not trained_with.is_recorded("display_port", "1")
    options.save(opt)
    assert trained_with.is_recorded("display_port", "1") and not trained_with.is_recorded(
        "display_port", "8097"
    )


@pytest.mark.parametrize("variables", [{"XDG_CACHE_HOME": "cache"}, {"HOME": "home"}], ids=["cache", "home"])
def test_no_cache_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """It may be a folder from somebody else, and the cache holds compiled code."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folder = cache_folder("native")
    assert folder.is_absolute() and tmp_path not in folder.parents and folder == cache_folder("native")


def test_the_folder_of_all_runs_is_never_recorded(tmp_path: Path) -> None:
    """Received files are put there."""
    for folder in (tmp_path / "runs", tmp_path / "runs" / "received"):
        trained_with.record([("plugin_path", str(folder))], str(tmp_path / "runs"))
        assert not trained_with.is_recorded("plugin_path", str(folder))
    trained_with.record([("plugin_path", str(tmp_path / "runs2"))], str(tmp_path / "runs"))
    assert trained_with.is_recorded("plugin_path", str(tmp_path / "runs2"))
