"""Wrong uses: each ends with an exit code, one sentence with the way out, and nothing half-written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT, draw_images, load_script
from wrong_use_rows import ROWS
from wrong_uses import Patch, Wrong, judge, snapshot

# rows that need a process of their own: what a shell does with the command; more are in test_startup.py
SHELLS = {
    "flag_misspelt": "{}",
    "disk_full_while_saving": "ulimit -f 400; {}",
    "disk_full_under_output": "{} > /dev/full",
}
PROCESS_ROWS = [
    *(row for row in ROWS if row.id in SHELLS),
    Wrong("disk_full_while_saving", "train", "checkpoints/new/latest_net_G_A.pth", code=1, running=True),
    Wrong("disk_full_under_output", "go_on", "disk", code=1, running=True),
]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ of 2 small images a domain or class, and the trained runs `run`, `attn` and `digits`."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    for name in ("trainA", "trainB", "testA", "testB"):
        draw_images(root / "data" / name, 2)
    for name in ("train", "test"):
        draw_images(root / "data" / name, 2, size=(80, 36))
    for name in ("cat", "dog"):
        draw_images(root / "data" / "classes" / name, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        commands = [
            "train --name run --model cycle_gan",
            "train --name attn --model cycle_gan_attn",
            "noise cgan --name digits --dataroot data/classes",
        ]
        for command in commands:
            words = Wrong("", f"{command} --display loss_log", "").words()
            patch.setattr(sys, "argv", words)
            assert load_script(words[0]).main() == 0
    return root


@pytest.fixture
def desk(world: Path, tmp_path: Path, monkeypatch: Patch) -> Callable[[Wrong], dict[str, str]]:
    """Lays out a fresh current folder for a row; returns what it holds."""

    def lay_out(row: Wrong) -> dict[str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        (tmp_path / "data").symlink_to(world / "data")
        for name in {"run", "attn", "digits"} & set(row.words()):
            shutil.copytree(world / "checkpoints" / name, Path("checkpoints") / name)
        if row.before:
            row.before(monkeypatch)
        return snapshot(tmp_path)

    return lay_out


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_wrong_use(
    row: Wrong,
    desk: Callable[[Wrong], dict[str, str]],
    run_script: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = desk(row)
    capfd.readouterr()
    code = run_script(*row.words())
    judge(row, code, capfd.readouterr().err, before, snapshot(Path()))


@pytest.mark.parametrize("row", PROCESS_ROWS, ids=lambda row: row.id)
def test_wrong_use_in_a_process(row: Wrong, desk: Callable[[Wrong], dict[str, str]]) -> None:
    command = SHELLS[row.id].format('"$@"')
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    before = desk(row)
    script, *words = row.words()
    argv = ["sh", "-c", command, "sh", sys.executable, str(ROOT / script), *words]
    # two threads that wait for each other on a busy machine are a hundred times slower than one
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    judge(row, done.returncode, done.stderr, before, snapshot(Path()))


def test_ids_are_unique() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS) >= 50
