"""Outside the virtual environment: what the commands say, and how the scripts find it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, names_all

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses shell scripts")


@pytest.mark.parametrize(
    "words",
    [
        ["train.py", "--dataroot", ".", "--name", "x"],
        ["train.py", "--dataroot", ".", "--name", "x", "--model", "sagan"],
        ["test.py", "--dataroot", ".", "--name", "x"],
        ["scripts/demo.py"],
    ],
)
def test_all_missing_packages_are_named_with_the_way_out(words: list[str]) -> None:
    """-S hides the packages of the environment."""
    command = [sys.executable, "-S", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert names_all(
        done.stderr, ["torch", "torchvision", "numpy", "PIL", "dominate", "source", ".venv/bin/activate"]
    )
    assert names_all(done.stderr, ["make setup"]) != (ROOT / ".venv").exists()


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("has_torch", "environment"), [(False, "venv"), (True, "active")])
def test_the_shell_scripts_find_the_environment(tmp_path: Path, has_torch: bool, environment: str) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    program(tmp_path / ".venv/bin/python", "echo venv $@")
    program(tmp_path / "bin/python", f'[ "$1" = -c ] && exit {int(not has_torch)}; echo active $@')
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    for script in sorted((tmp_path / "scripts").glob("t*.sh")):
        command = ["bash", script, "--seed", "3"]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.startswith(f"{environment} {script.stem.split('_')[0]}.py --dataroot"), script
        assert done.stdout.endswith("--seed 3\n")
