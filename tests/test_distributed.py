"""Two gloo ranks equal one process with the joint batch; torchrun works with one process and with two."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rank_probe
import torch
from conftest import ROOT, TINY, refused

from models import networks
from util import distributed
from util.run import checkpoint

FLAGS = [*TINY, *"--pool_size 0 --norm instance --no_dropout --clip_grad 1".split()]
CASES = {
    "cycle_gan_attn": ["--model", "cycle_gan_attn"],
    "pix2pix": ["--model", "pix2pix"],
    "pix2pix with syncbatch": ["--model", "pix2pix", "--norm", "syncbatch"],
}
CASES = {name: ["--dataroot", ".", *FLAGS, *words] for name, words in CASES.items()}


def torchrun(processes: int, script: str, *words: object) -> str:
    """The standard output of a script that torchrun starts."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, f"--nproc_per_node={processes}", script, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the result of each case, trained by two processes with half of the batch each."""
    folder = tmp_path_factory.mktemp("two_ranks")
    torchrun(2, "tests/rank_probe.py", folder, json.dumps(CASES))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_the_joint_batch(case: str, two_ranks: Path) -> None:
    """In double precision, since Adam turns the rounding errors of zero gradients into full steps."""
    two, one = checkpoint.load(two_ranks / f"{case}.pt"), rank_probe.train(CASES[case], batch_size=4)
    for key, value in one["nets"].items():
        assert torch.allclose(value, two["nets"][key], atol=1e-5, rtol=0), key
    assert one["losses"] == pytest.approx(two["losses"], abs=1e-5)


def test_only_rank_0_prints_and_writes(unpaired: Path, tmp_path: Path) -> None:
    words = "--n_epochs 2 --n_epochs_decay 0 --print_freq 2 --display console,loss_log".split()
    place = ["--dataroot", unpaired, "--checkpoints_dir", tmp_path, "--name", "r"]
    printed = torchrun(2, "train.py", *place, *FLAGS, *words)
    assert printed.count("2 processes (gloo, cpu) x --batch_size 1 = 2 images per step") == 1
    assert printed.count("[Network G_A]") == printed.count("end of epoch 1 / 2") == 1
    lines = (tmp_path / "r" / "loss_log.txt").read_text().splitlines()
    assert len(lines) == 7 and lines[1].startswith("(epoch: 1, iters: 2,")
    state = checkpoint.load(tmp_path / "r" / "latest_state.pt")
    assert len(state["ranks"]) == 2 and state["parts"]["clock"]["images"] == 12
    assert not torch.equal(state["ranks"][0]["random"]["torch"], state["ranks"][1]["random"]["torch"])


def test_one_process_under_torchrun_resumes_and_saves(trained_copy: Callable[[str], Path]) -> None:
    runs = trained_copy("cycle_gan")
    place = ["--name", "r", "--checkpoints_dir", runs]
    printed = torchrun(1, "train.py", "--continue_train", *place, "--n_epochs", 2)
    assert "1 processes" not in printed and "resuming at epoch 2, after 6 images" in printed
    assert checkpoint.load(runs / "r" / "latest_state.pt")["parts"]["clock"]["images"] == 12


def test_in_one_process_collectives_return_their_argument() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 3.0)
    distributed.average_gradients([parameter])
    distributed.broadcast([parameter])
    distributed.barrier()
    assert parameter.grad.tolist() == [3.0, 3.0]
    assert distributed.mean({"a": 1.5}) == {"a": 1.5}
    assert distributed.gather({"a": 1}) == [{"a": 1}]
    assert distributed.any_rank(True) and not distributed.any_rank(False)
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


@pytest.mark.parametrize(
    ("flags", "cuda", "mps", "local_rank", "device"),
    [
        (("auto", "-1"), 2, False, None, "cpu"),
        (("cpu", "0"), 2, False, None, "cpu"),
        (("auto", "0"), 0, False, None, "cpu"),
        (("auto", "0"), 0, True, None, "mps"),
        (("auto", "1"), 2, True, None, "cuda:1"),
        (("auto", "0"), 2, False, "1", "cuda:1"),
        (("cuda", "3,2"), 4, False, "1", "cuda:2"),
        (("cuda", "3,2"), 4, False, None, "cuda:3"),
        (("cuda", "0"), 0, False, None, "--device cuda"),
        (("mps", "0"), 2, False, None, "--device mps"),
        (("cuda", "7"), 2, False, None, "--gpu_ids 7"),
    ],
)
def test_a_device_is_chosen_by_flags_ranks_and_what_there_is(
    flags: tuple, cuda: int, mps: bool, local_rank: str | None, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    if device.startswith("--"):
        with refused(*device.split()):
            distributed.pick_device(*flags)
    else:
        assert distributed.pick_device(*flags) == torch.device(device)


def test_sync_batch_norm_in_one_process_is_batch_norm() -> None:
    x = torch.randn(4, 3, 5, 5)
    batch, sync = (networks.get_norm_layer(name)(3) for name in ("batch", "syncbatch"))
    assert torch.equal(batch(x), sync(x))
    assert torch.equal(batch.running_var, sync.running_var)
