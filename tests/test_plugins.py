"""Plugins: found by kind and name, listed without being imported, explained where they cannot be used."""

from pathlib import Path

import pytest
from conftest import refused

from util import plugins


def test_a_users_plugin_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "my_own_model.py").write_text(
        '"""Mine."""\nclass BaseModel: ...\nclass MyOwnModel(BaseModel): ...\n'
    )
    found = plugins.find("model", "my_own", [str(tmp_path)])
    assert found.__name__ == "MyOwnModel"
    assert plugins.available("model", [str(tmp_path)])["my_own"] == "Mine."


def test_a_folder_cannot_take_a_built_in_name(tmp_path: Path) -> None:
    (tmp_path / "cycle_gan_model.py").write_text("class CycleGANModel:\n    pass\n")
    assert plugins.find("model", "cycle_gan", [str(tmp_path)]).__module__ == "models.cycle_gan_model"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_package\n", "no_such_package"),
        ("def broken(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("class Other:\n    pass\n", "class"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_explained(tmp_path: Path, text: str, reason: str) -> None:
    name = f"faulty{abs(hash(text)) % 10**6}"
    (tmp_path / f"{name}_model.py").write_text(text)
    with refused(tmp_path / f"{name}_model.py", reason):
        plugins.find("model", name, [str(tmp_path)])


def test_listing_does_not_import(tmp_path: Path) -> None:
    (tmp_path / "loud_model.py").write_text('"""Loud."""\nraise SystemExit(3)\n')
    (tmp_path / "torn_model.py").write_text("def broken(:\n")
    found = plugins.available("model", [str(tmp_path)])
    assert found["loud"] == "Loud." and found["torn"] == "(does not parse)"


def test_an_unknown_name_gets_the_nearest_and_all_known_ones() -> None:
    with refused("cycle_gam", "cycle_gan", "pix2pix"):
        plugins.find("model", "cycle_gam")
