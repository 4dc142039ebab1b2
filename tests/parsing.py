"""What the tests of options share: parsing a command line, and runs that pass their options on."""

from argparse import Namespace
from pathlib import Path

import pytest
from conftest import ROOT

from options.test_options import TestOptions
from options.train_options import TrainOptions


def train(*words: object) -> Namespace:
    return TrainOptions().parse(["--dataroot", ".", *map(str, words)])


def test(*words: object) -> Namespace:
    return TestOptions().parse(["--dataroot", ".", *map(str, words)])


test.__test__ = False  # type: ignore[attr-defined]


def values(opt: Namespace, *names: str) -> tuple:
    return tuple(getattr(opt, name) for name in names)


def save_run(folder: Path, *words: object) -> tuple[object, ...]:
    """Save the options of a run called x; the words that choose it."""
    where = ("--checkpoints_dir", folder, "--name", "x")
    options = TrainOptions()
    options.save(options.parse(["--dataroot", str(ROOT), *map(str, (*where, *words))]))
    return where


def resume(*words: object) -> Namespace:
    return TrainOptions().parse(["--continue_train", *map(str, words)])


def write_config(folder: Path, text: str) -> Path:
    pytest.importorskip("yaml")
    path = folder / "c.yaml"
    path.write_text(text)
    return path
