"""A run folder that this user did not train is data: its options import no code and name no servers."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import BARE, names_all

from options.train_options import TrainOptions
from util.errors import UserError

MODEL = '''"""A model that shows that it was imported."""
from pathlib import Path

Path({marker!r}).touch()

from models.cycle_gan_model import CycleGANModel


class {title}Model(CycleGANModel):
    """Equal to CycleGAN."""
'''
DATASET = '''"""A data set that shows that it was imported."""
from pathlib import Path

Path({marker!r}).touch()

from data.single_dataset import SingleDataset


class {title}Dataset(SingleDataset):
    """Equal to single."""
'''
PLUGINS = {"foreign_model", "foreign_dataset", "mine_model"}
Runner = Callable[..., int]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This user has trained nothing yet; the plugins that a test imports are forgotten after it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    forget_plugins()


def forget_plugins() -> None:
    for name in PLUGINS & sys.modules.keys():
        del sys.modules[name]


def write_plugin(folder: Path, kind: str, name: str, marker: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = {"model": MODEL, "dataset": DATASET}[kind]
    (folder / f"{name}_{kind}.py").write_text(text.format(marker=str(marker), title=name.capitalize()))


def write_options(folder: Path, file: str, options: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if file == "opt.json":
        text = json.dumps(options)
    else:
        lines = [f"{name:>25}: {value!s:<30}" for name, value in options.items()]
        text = "\n".join(
            ["----------------- Options ---------------", *lines, "----------------- End -----------"]
        )
    (folder / file).write_text(text)


def assert_refused_without_import(code: int, err: str, marker: Path, *words: object) -> None:
    assert not marker.exists(), "code from the run folder was imported"
    assert code == 2 and "Traceback" not in err
    assert names_all(err.strip().splitlines()[-1], ["--plugin_path", *words])


@pytest.mark.parametrize("file", ["opt.json", "train_opt.txt"])
@pytest.mark.parametrize(
    "command",
    [
        ("test.py", "--dataroot", "photos"),
        ("train.py", "--continue_train"),
        ("scripts/sample.py",),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.xfail(strict=True, reason="fault 27")
def test_a_foreign_run_imports_no_model(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture, command: tuple[str, ...], file: str
) -> None:
    """The user must repeat --plugin_path for a folder that no training of this user has recorded."""
    folder, marker = tmp_path / "checkpoints" / "received", tmp_path / "imported"
    write_plugin(folder, "model", "foreign", marker)
    options = {"model": "foreign", "plugin_path": [str(folder)], "dataroot": "photos", "name": "received"}
    write_options(folder, file, options)
    torch.save({}, folder / "latest_state.pt")
    code = run_script(*command, "--name", "received")
    assert_refused_without_import(code, capfd.readouterr().err, marker, folder)


@pytest.mark.parametrize(
    "command",
    [("test.py", "--dataroot", "photos"), ("train.py", "--continue_train")],
    ids=lambda words: words[0],
)
@pytest.mark.xfail(strict=True, reason="fault 27")
def test_a_foreign_run_imports_no_dataset(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture, command: tuple[str, ...]
) -> None:
    folder, marker = tmp_path / "checkpoints" / "received", tmp_path / "imported"
    write_plugin(folder, "dataset", "foreign", marker)
    options = {
        "model": "cycle_gan",
        "dataset_mode": "foreign",
        "plugin_path": [str(folder)],
        "dataroot": "photos",
    }
    write_options(folder, "opt.json", options)
    torch.save({}, folder / "latest_state.pt")
    code = run_script(*command, "--name", "received")
    assert_refused_without_import(code, capfd.readouterr().err, marker, folder)


@pytest.mark.xfail(strict=True, reason="fault 27")
def test_a_relative_plugin_folder_of_a_foreign_run_is_not_imported(
    run_script: Runner, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Neither a relative path nor a link that leads into the run folder is taken without asking."""
    folder, marker = tmp_path / "checkpoints" / "received", tmp_path / "imported"
    write_plugin(folder / "deep", "model", "foreign", marker)
    (tmp_path / "link").symlink_to(folder / "deep")
    write_options(folder, "opt.json", {"model": "foreign", "plugin_path": ["link"]})
    code = run_script("test.py", "--name", "received", "--dataroot", "photos")
    assert_refused_without_import(code, capfd.readouterr().err, marker)


@pytest.mark.xfail(strict=True, reason="fault 27")
def test_a_plugin_that_changed_since_training_is_not_imported(
    run_script: Runner,
    tmp_path: Path,
    capfd: pytest.CaptureFixture,
    unpaired: Path,
) -> None:
    """The user's own training allows the plugin files that it used, not other contents at the same place."""
    plugins, marker = tmp_path / "plugins", tmp_path / "imported"
    write_plugin(plugins, "model", "mine", tmp_path / "while_training")
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
    assert run_script("train.py", *words, "--plugin_path", plugins) == 0
    forget_plugins()
    words = ["--name", "own", "--dataroot", unpaired, "--num_test", 1]
    assert run_script("test.py", *words) == 0  # the unchanged plugin needs no --plugin_path
    forget_plugins()
    write_plugin(plugins, "model", "mine", marker)  # other contents: another marker
    capfd.readouterr()
    code = run_script("test.py", *words)
    assert_refused_without_import(code, capfd.readouterr().err, marker, plugins)


@pytest.mark.xfail(strict=True, reason="fault 27")
def test_a_foreign_run_names_no_server(tmp_path: Path) -> None:
    """Resuming a received run sends nothing to a server that only its opt.json names."""
    folder, server = tmp_path / "checkpoints" / "received", "http://foreign.example"
    options = {"display_server": server, "model": "cycle_gan", "dataroot": str(tmp_path), "display_id": 1}
    write_options(folder, "opt.json", options)
    torch.save({}, folder / "latest_state.pt")
    try:
        opt = TrainOptions().parse(["--continue_train", "--name", "received"])
    except UserError as error:
        assert names_all(str(error), ["--display_server"])
    else:
        assert opt.display_server != server
