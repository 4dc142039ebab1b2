"""Run by test_rank_watch as one process of a run: exchanges numbers until one rank ends in the way that is asked for."""

import os
import signal
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util import distributed, errors
from util.errors import RunFault
from util.ranks import rank_watch


def main(how: str, victim: int) -> None:
    torch.set_num_threads(1)
    distributed.start(torch.device("cpu"))
    is_victim = distributed.rank() == victim
    for step in range(10**6):
        if distributed.mean({"step": step})["step"] != step:
            raise RunFault("the ranks disagree")
        if step == 3 and how == "done":
            break
        if step == 3 and is_victim:
            end(how)
        if step == 3 and how == "while others compute":
            rank_watch.GRACE_S = 1.0
            time.sleep(1000)
    distributed.stop()


def end(how: str) -> None:
    if how == "user error":
        raise RunFault("the loss is NaN")
    if how == "exception":
        raise KeyError("a mistake of a plugin")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(errors.run(lambda: main(sys.argv[1], int(sys.argv[2]))))
