"""Two gloo ranks equal one process with the joint batch; torchrun works with one and two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from models import networks
from util import distributed

FLAGS = """
--load_size 36 --crop_size 32 --netG resnet_6blocks --ngf 8 --ndf 8 --num_threads 0 --display console,loss_log
--n_epochs 2 --n_epochs_decay 0 --pool_size 0 --print_freq 2 --name r
""".split()


def torchrun(processes: int, script: str, *words: object) -> str:
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={processes}",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*launcher, script, *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("model", "norm"), [("cycle_gan_attn", "instance"), ("pix2pix", "instance"), ("pix2pix", "syncbatch")]
)
def test_two_ranks_equal_the_joint_batch(model: str, norm: str, tmp_path: Path) -> None:
    """In double precision: in single precision Adam makes steps of the rounding of gradients that are 0."""
    words = ["--model", model, "--dataroot", ".", *FLAGS, "--norm", norm, "--no_dropout", "--clip_grad", 1]
    torchrun(2, "tests/rank_probe.py", tmp_path / "two.pt", *words, "--batch_size", 2)
    torchrun(1, "tests/rank_probe.py", tmp_path / "one.pt", *words, "--batch_size", 4)
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one", "two"))
    for key, value in one["nets"].items():
        assert torch.allclose(value, two["nets"][key], atol=1e-5, rtol=0), key
    assert one["losses"] == pytest.approx(two["losses"], abs=1e-5)


def test_rank_0_alone_prints_and_writes(unpaired: Path, tmp_path: Path) -> None:
    told = torchrun(2, "train.py", "--dataroot", unpaired, *FLAGS, "--checkpoints_dir", tmp_path)
    assert told.count("2 processes (gloo, cpu) x --batch_size 1 = 2 images per step") == 1
    assert told.count("[Network G_A]") == told.count("end of epoch 1 / 2") == 1
    lines = (tmp_path / "r" / "loss_log.txt").read_text().splitlines()
    assert len(lines) == 7 and lines[1].startswith("(epoch: 1, iters: 2,")
    state = torch.load(tmp_path / "r" / "latest_state.pt", weights_only=True)
    assert len(state["ranks"]) == 2 and state["parts"]["clock"]["images"] == 12
    assert not torch.equal(state["ranks"][0]["random"]["torch"], state["ranks"][1]["random"]["torch"])


def test_one_process_under_torchrun_resumes(unpaired: Path, tmp_path: Path) -> None:
    words = ["--model", "cycle_gan", "--dataroot", unpaired, *FLAGS, "--checkpoints_dir", tmp_path]
    told = torchrun(1, "train.py", *words)
    assert "1 processes" not in told and (tmp_path / "r" / "latest_state.pt").exists()
    told = torchrun(
        1, "train.py", "--continue_train", "--name", "r", "--checkpoints_dir", tmp_path, "--n_epochs", 3
    )
    assert "resuming at epoch 3" in told


def test_alone_every_collective_is_the_identity() -> None:
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


def test_devices_by_name() -> None:
    assert distributed.pick_device("auto", "-1") == distributed.pick_device("cpu", "0") == torch.device("cpu")


def test_sync_batch_norm_alone_is_batch_norm() -> None:
    x = torch.randn(4, 3, 5, 5)
    batch, sync = (networks.get_norm_layer(name)(3) for name in ("batch", "syncbatch"))
    assert torch.equal(batch(x), sync(x))
    assert torch.equal(batch.running_var, sync.running_var)
