"""`pip wheel .` gives a package with the modules and the C++ sources."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT


def test_a_wheel_holds_the_packages_and_their_sources(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    pytest.importorskip("pip")
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ROOT / "pyproject.toml", source)
    for folder in ("models", "data", "options", "util", "scripts", "docs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=source, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    paths = [path for folder in ("models", "data", "options", "util") for path in (ROOT / folder).rglob("*")]
    wanted = {str(path.relative_to(ROOT)) for path in paths if path.suffix in (".py", ".cpp", ".hpp")}
    assert wanted <= names and not any(name.startswith(("scripts", "docs")) for name in names)
