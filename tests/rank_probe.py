"""Run by torchrun in test_distributed: trains models on this rank's part of joint batches, in double precision."""

import json
import sys
from pathlib import Path

import torch
from conftest import random_batch

from models import create_model
from options.train_options import TrainOptions
from util import distributed
from util.run import checkpoint


def train(words: list[str], batch_size: int) -> dict:
    """Weights and losses after three steps; `batch_size` images of each joint batch of 4 belong to this rank."""
    opt = TrainOptions().parse([*words, "--batch_size", str(batch_size)])
    first = distributed.rank() * batch_size
    torch.manual_seed(distributed.rank())  # the ranks must then agree on the weights of rank 0
    model = create_model(opt)
    model.nets.double()
    model.ema.shadows.double()
    for step in range(3):
        joint = random_batch("pairs", size=4, seed=step)
        part = {key: value[first : first + batch_size] for key, value in joint.items()}
        model.optimize_parameters({k: v.double() if torch.is_tensor(v) else v for k, v in part.items()})
    losses = model.get_current_losses()
    return {"nets": model.nets.state_dict(), "losses": losses}


def main(folder: str, cases: str) -> None:
    torch.set_num_threads(1)
    distributed.start(torch.device("cpu"))
    for name, words in json.loads(cases).items():
        result = train(words, 4 // distributed.world_size())
        if distributed.rank() == 0:
            checkpoint.save(result, Path(folder, f"{name}.pt"))
    distributed.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
