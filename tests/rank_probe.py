"""Run by torchrun in test_distributed: a few steps in double precision on this rank's part of joint batches."""

import sys
from pathlib import Path

import torch
from conftest import random_batch

from models import create_model
from options.train_options import TrainOptions
from util import distributed
from util.run import checkpoint


def main(path: str, argv: list[str]) -> None:
    torch.set_num_threads(1)
    opt = TrainOptions().parse(argv)
    distributed.start(torch.device("cpu"))
    torch.manual_seed(distributed.rank())  # rank 0's weights must reach the others
    model = create_model(opt)
    model.nets.double()
    model.ema.shadows.double()
    rank, size = distributed.rank(), opt.batch_size
    for step in range(3):
        joint = random_batch("pairs", size=size * distributed.world_size(), seed=step)
        part = {key: value[rank * size : (rank + 1) * size] for key, value in joint.items()}
        model.optimize_parameters({k: v.double() if torch.is_tensor(v) else v for k, v in part.items()})
    losses = model.get_current_losses()
    if rank == 0:
        checkpoint.save({"nets": model.nets.state_dict(), "losses": losses}, Path(path))
    distributed.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
