"""Plugins: found by kind and name, listed without being imported, explained where they cannot be used."""

from pathlib import Path

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


def test_listing_does_not_import(tmp_path: Path) -> None:
    (tmp_path / "loud_model.py").write_text('"""Loud."""\nraise SystemExit(3)\n')
    (tmp_path / "torn_model.py").write_text("def broken(:\n")
    found = plugins.available("model", [str(tmp_path)])
    assert found["loud"] == "Loud." and found["torn"] == "(does not parse)"
