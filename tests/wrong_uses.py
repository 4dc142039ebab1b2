"""What the table of wrong uses is made of: rows, the ways to spoil a folder, and the judgement."""

import errno
import hashlib
import os
import shlex
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_images, names_all

from util.run import checkpoint

Patch = pytest.MonkeyPatch
Before = Callable[[Patch], object]

TINY = "--load_size 32 --crop_size 32 --netG resnet_6blocks --ngf 8 --ndf 8 --num_threads 0"
NOISE = "--crop_size 32 --ngf 8 --ndf 8 --num_threads 0 --batch_size 2"
SHORT = "--display console --gpu_ids -1 --n_epochs 1 --n_epochs_decay 0"
# what the first word of a row's command stands for
PREFIXES = {
    "train": f"train.py --dataroot data --name new {TINY} {SHORT}",
    "go_on": "train.py --dataroot data --name run --continue_train --n_epochs 2",
    "test": "test.py --dataroot data --name run",
    "single": "test.py --dataroot data/testA --name run --model test --model_suffix _A",
    "noise": f"train.py --name new {NOISE} {SHORT} --model",
    "draw": "test.py --name digits --num_test 2",
    "sheet": "scripts/sample.py --name digits",
    "import": "scripts/import_weights.py --name new --source",
    "mine": f"train.py --dataroot data --plugin_path mine {TINY} {SHORT} --model",
    "pairs": f"train.py --model pix2pix --dataroot mine --name new {TINY} {SHORT}",
}


@dataclass(frozen=True)
class Wrong:
    """A row: the error must name each word of `names` (flags, values, paths); its wording is not compared.

    `before` prepares the current folder, or the program.

    `running`: it goes wrong after the run has begun, so its folder may hold options and logs.
    """

    id: str
    command: str
    names: str
    code: int = 2
    running: bool = False
    before: Before | None = None

    def words(self) -> list[str]:
        prefix, _, rest = self.command.partition(" ")
        return shlex.split(f"{PREFIXES.get(prefix, prefix)} {rest}")


def both(*steps: Before) -> Before:
    return lambda patch: [step(patch) for step in steps]


def file(path: str, content: str | bytes = "") -> Before:
    def write(patch: Patch) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def folder(path: str) -> Before:
    return lambda patch: Path(path).mkdir(parents=True)


def images(*folders: str, size: tuple[int, int] = (40, 36)) -> Before:
    """000.png and 001.png in each folder."""
    return lambda patch: [draw_images(Path(folder), 2, size=size) for folder in folders]


def photos(**changed: str) -> Before:
    """mine/trainA and mine/trainB; `changed` writes mine/trainA/<name>.jpg."""
    return both(
        images("mine/trainA", "mine/trainB"),
        *(file(f"mine/trainA/{name}.jpg", text) for name, text in changed.items()),
    )


def halved(path: str) -> Before:
    def cut(patch: Patch) -> None:
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: len(data) // 2])

    return cut


def edited(path: str, old: str, new: str) -> Before:
    def edit(patch: Patch) -> None:
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new))

    return edit


def saved(path: str, value: object) -> Before:
    return lambda patch: torch.save(value, path)


def hdf5(path: str, side: int, channels: int = 3) -> Before:
    """A file of two grey images and no labels."""

    def write(patch: Patch) -> None:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as made:
            made["images"] = np.full((2, side, side, channels), 128, np.uint8)

    return write


def plugin(name: str, *lines: str, model: str = "template") -> Before:
    """mine/<name>_model.py: a template model with `lines` in the body of its class."""
    title = "".join(part.capitalize() for part in name.split("_"))
    head = [f"from models.{model}_model import *", f"class {title}Model({model.capitalize()}Model):"]
    return file(f"mine/{name}_model.py", "\n".join([*head, *(f"    {line}" for line in lines or ["pass"])]))


def without(package: str) -> Before:
    return lambda patch: patch.setitem(sys.modules, package, None)


def full_disk(at: str = "") -> Before:
    """No room for files whose name contains `at`."""
    replace = os.replace

    def fail(source: str | Path, target: str | Path) -> None:
        if at in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    return lambda patch: patch.setattr(os, "replace", fail)


def read_only(patch: Patch) -> None:
    patch.setattr(os, "access", lambda *args: False)


def no_gpu(patch: Patch) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: False)


def taken_port(patch: Patch) -> None:
    """Port 18097 is taken, by this test or another program."""
    pytest.importorskip("visdom")
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", 18097))
        holder.listen()
    except OSError:
        pass
    patch.setattr(sys.modules[__name__], "held", holder, raising=False)


class Payload:
    """What a malicious checkpoint holds: reading it would make the file `pwned`."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch pwned",)


def within_an_epoch(patch: Patch) -> None:
    """The run stopped after 1 image of epoch 2."""
    path = "checkpoints/run/latest_state.pt"
    state = torch.load(path, weights_only=True)
    state["parts"]["clock"] |= {"epoch": 2, "epoch_images": 1}
    torch.save(state, path)


def snapshot(folder: Path) -> dict[str, str]:
    """path -> digest of each file, '' of each folder; links are not followed."""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def judge(row: Wrong, code: int, err: str, before: dict[str, str], after: dict[str, str]) -> None:
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    assert names_all(lines[0], row.names.split()), (row.names, lines[0])
    assert code == row.code
    if not row.running:
        assert after == before
    for path, digest in before.items():
        if path.endswith((".pt", ".pth")) and digest not in after.values():
            assert checkpoint.load(Path(path)), "a newer state has taken the place of the old one"
    assert not [path for path in after if path.endswith(".tmp")]
    assert "pwned" not in after
