"""scripts/import_weights.py makes runs that test.py reads, and refuses what does not fit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from biggan_source import ClassNorm, SourceD, SourceG
from conftest import names_all

from models import create_model
from options.test_options import TestOptions
from options.train_options import TrainOptions


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """G, G_ema and D of CIFAR's shape, as the source saves them."""
    torch.manual_seed(0)
    nets = {"G": SourceG(32, 16, classes=5, z=7), "G_ema": SourceG(32, 16, classes=5, z=7)}
    paths = {name: tmp_path / f"{name}.pth" for name in ("G", "G_ema", "D")}
    for name, net in (nets | {"D": SourceD(32, 16, classes=5)}).items():
        torch.save(net.state_dict(), paths[name])
    return paths


def words(files: dict[str, Path], runs: Path, name: str = "imported") -> list[object]:
    given = [word for kind, path in files.items() for word in (f"--{kind}", path)]
    return ["--source", "biggan", *given, "--name", name, "--checkpoints_dir", runs]


def test_script_makes_a_run_that_test_py_reads(
    tmp_path: Path, files: dict[str, Path], run_script: Callable[..., int]
) -> None:
    runs = tmp_path / "runs"
    assert run_script("scripts/import_weights.py", *words(files, runs)) == 0
    made = {path.name for path in (runs / "imported").iterdir()}
    assert made == {"latest_net_G.pth", "latest_net_G_ema.pth", "latest_net_D.pth", "opt.json"}
    assert json.loads((runs / "imported" / "opt.json").read_text())["z_dim"] == 7

    place = ["--model", "biggan", "--name", "imported", "--checkpoints_dir", str(runs)]
    opt = TestOptions().parse([*place, "--results_dir", str(tmp_path / "results")])
    model = create_model(opt)
    model.load_networks("latest")
    z, label = torch.randn(3, 7), torch.tensor([0, 4, 2])
    source = SourceG(32, 16, classes=5, z=7)
    source.load_state_dict(torch.load(files["G_ema"]))
    with torch.no_grad():
        expected = source(z, label)
    fake = model.test({"z": z, "label": label})["fake"]
    torch.testing.assert_close(fake, expected, rtol=0, atol=1e-5)


def test_test_py_makes_images_of_an_imported_run(
    tmp_path: Path, files: dict[str, Path], run_script: Callable[..., int]
) -> None:
    pytest.importorskip("dominate")
    runs, results = tmp_path / "runs", tmp_path / "results"
    assert run_script("scripts/import_weights.py", *words({"G": files["G"]}, runs)) == 0
    place = ["--model", "biggan", "--name", "imported", "--checkpoints_dir", runs, "--results_dir", results]
    assert run_script("test.py", *place, "--num_test", 3, "--device", "cpu") == 0
    assert len(list(results.rglob("*seed*.png"))) >= 3


def test_script_refuses_in_one_sentence(
    tmp_path: Path,
    files: dict[str, Path],
    run_script: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = tmp_path / "runs"
    odd = SourceG(32, 16, classes=5, z=7).state_dict()
    odd["blocks.1.0.conv1.bias"] = torch.zeros(9)
    torch.save(odd, tmp_path / "odd.pth")
    torch.save(SourceD(32, 16, classes=6).state_dict(), tmp_path / "odd_D.pth")
    torch.save(SourceD(64, 16, classes=5).state_dict(), tmp_path / "large_D.pth")
    odd["blocks.1.0.conv1.bias"] = torch.full((64,), torch.nan)
    torch.save(odd, tmp_path / "nan.pth")
    wrong: list[tuple[list[object], list[object]]] = [
        (["--name", "../elsewhere"], words(files, runs, name="../elsewhere")),
        ([files["D"], "G"], words(files | {"G": files["D"]}, runs)),
        (
            [tmp_path / "odd.pth", "blocks.1.conv1.bias", "(9,)", "(64,)"],
            words({"G": tmp_path / "odd.pth"}, runs),
        ),
        ([tmp_path / "nan.pth", "blocks.1.0.conv1.bias"], words({"G": tmp_path / "nan.pth"}, runs)),
        ([tmp_path / "odd_D.pth"], words(files | {"D": tmp_path / "odd_D.pth"}, runs)),
        ([files["G"], tmp_path / "large_D.pth", 64], words(files | {"D": tmp_path / "large_D.pth"}, runs)),
        (["--norm_style in"], [*words(files, runs), "--norm_style", "in"]),
        (["--source"], ["--G", files["G"], "--name", "imported"]),
    ]
    for named, given in wrong:
        assert run_script("scripts/import_weights.py", *given) == 2
        error = capsys.readouterr().err
        assert names_all(error, named) and error.count("\n") == 1
        assert not runs.exists() or not any(runs.rglob("*.pth"))


def test_a_wrong_file_is_named_and_no_other(
    tmp_path: Path, files: dict[str, Path], run_script: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.pth"
    for name in ("G_ema", "D"):
        wrong.write_bytes(files["G" if name == "D" else "D"].read_bytes())
        assert run_script("scripts/import_weights.py", *words(files | {name: wrong}, tmp_path / "runs")) == 2
        error = capsys.readouterr().err
        assert names_all(error, [wrong]) and not any(str(path) in error for path in files.values())


def test_the_epsilon_of_training_is_asked_for(
    tmp_path: Path, files: dict[str, Path], run_script: Callable[..., int]
) -> None:
    """It belongs to the conditional norms; the norm at the output always has 1e-5."""
    runs = tmp_path / "runs"
    given = [*words({"G": files["G"]}, runs), "--BN_eps", 0.1]
    assert run_script("scripts/import_weights.py", *given) == 0
    opt = TestOptions().parse(["--model", "biggan", "--name", "imported", "--checkpoints_dir", str(runs)])
    model = create_model(opt)
    model.load_networks("latest")
    z, label = torch.randn(3, 7), torch.tensor([0, 4, 2])
    source = SourceG(32, 16, classes=5, z=7)
    source.load_state_dict(torch.load(files["G"]))
    with torch.no_grad():
        usual = source.eval()(z, label)
        for module in source.modules():
            if isinstance(module, ClassNorm):
                module.eps = 0.1
        expected = source(z, label)
    assert (expected - usual).abs().max() > 0.01
    torch.testing.assert_close(model.test({"z": z, "label": label})["fake"], expected, rtol=0, atol=1e-5)


def test_training_continues_with_the_imported_average(
    tmp_path: Path, files: dict[str, Path], run_script: Callable[..., int]
) -> None:
    runs = tmp_path / "runs"
    assert run_script("scripts/import_weights.py", *words(files, runs)) == 0
    imported = torch.load(runs / "imported" / "latest_net_G_ema.pth")
    place = ["--name", "imported", "--checkpoints_dir", str(runs), "--dataroot", ".", "--display", "console"]
    opt = TrainOptions().parse([*place, "--continue_train", "--dataset_mode", "folder", "--batch_size", "4"])
    model = create_model(opt)
    model.load_networks("latest")
    shadow = model.ema.shadows["G"]
    assert all(torch.equal(shadow.state_dict()[key], imported[key]) for key in imported)
    live = [parameter.detach().clone() for parameter in model.nets["G"].parameters()]
    model.ema.update(model.nets)
    for name, average, weight in zip(dict(shadow.named_parameters()), shadow.parameters(), live, strict=True):
        torch.testing.assert_close(average, torch.lerp(imported[name], weight, 1e-4))
