"""Two gloo ranks equal one process with the joint batch; torchrun works with one and two."""

import os
import re
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


def torchrun(processes: int, *words: object) -> str:
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={processes}",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "train.py", *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def losses(folder: Path) -> list[list[float]]:
    lines = [line for line in (folder / "loss_log.txt").read_text().splitlines() if line.startswith("(")]
    return [[float(value) for value in re.findall(r": (-?[\d.]+) ", line.split(") ")[1])] for line in lines]


@pytest.mark.parametrize(("model", "norm"), [("cycle_gan", "instance"), ("pix2pix", "syncbatch")])
def test_two_ranks_equal_the_joint_batch(
    model: str, norm: str, unpaired: Path, paired: Path, tmp_path: Path, run_script
) -> None:
    data = unpaired if model == "cycle_gan" else paired
    words = ["--model", model, "--dataroot", data, *FLAGS, "--norm", norm, "--no_dropout"]
    told = torchrun(2, *words, "--batch_size", 1, "--checkpoints_dir", tmp_path / "two")
    assert told.count("2 processes (gloo, cpu) x --batch_size 1 = 2 images a step") == 1
    assert told.count("[Network") == len(list((tmp_path / "two" / "r").glob("latest_net_*.pth")))
    assert run_script("train.py", *words, "--batch_size", 2, "--checkpoints_dir", tmp_path / "one") == 0
    for path in sorted((tmp_path / "one" / "r").glob("latest_net_*.pth")):
        alone = torch.load(path, weights_only=True)
        together = torch.load(tmp_path / "two" / "r" / path.name, weights_only=True)
        for key, value in alone.items():
            assert torch.allclose(value, together[key], atol=1e-5, rtol=0), (path.name, key)
    assert torch.allclose(
        torch.tensor(losses(tmp_path / "one" / "r")), torch.tensor(losses(tmp_path / "two" / "r")), atol=2e-3
    )


def test_one_process_under_torchrun_resumes(unpaired: Path, tmp_path: Path) -> None:
    words = ["--model", "cycle_gan", "--dataroot", unpaired, *FLAGS, "--checkpoints_dir", tmp_path]
    told = torchrun(1, *words)
    assert "1 processes" not in told and (tmp_path / "r" / "latest_state.pt").exists()
    told = torchrun(1, "--continue_train", "--name", "r", "--checkpoints_dir", tmp_path, "--n_epochs", 3)
    assert "going on at epoch 3" in told


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
