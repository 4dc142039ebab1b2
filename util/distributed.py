"""Devices, and communication between the processes of a run; with one process nothing is communicated."""

import atexit
import os
from collections.abc import Iterable
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from util import log
from util.errors import UserError
from util.ranks import rank_variables
from util.ranks.rank_watch import RankWatch

COLLECTIVE_TIMEOUT = timedelta(minutes=30)  # rank 0 may download a data set while the others wait
ANSWER_S = 30.0  # for the program at MASTER_PORT
_watch: RankWatch | None = None


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def pick_device(name: str = "auto", gpu_ids: str = "0") -> torch.device:
    """The device of this process for `--device` and `--gpu_ids`; `--gpu_ids -1` selects the CPU.

    Under torchrun each local rank gets the GPU at its position in the list of ids; a single process gets the
    first one.

    Raises:
        UserError: this machine does not have the device.
    """
    ids = [int(word) for word in gpu_ids.split(",")]
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind in available if (available[kind] and ids[0] >= 0) or kind == "cpu")
    elif not available[name]:
        raise UserError(f"--device {name}: torch finds no such device on this machine; use --device cpu")
    if name != "cuda":
        return torch.device(name)
    index, count = ids[0], torch.cuda.device_count()
    if "LOCAL_RANK" in os.environ:
        local = int(os.environ["LOCAL_RANK"])
        index = ids[local] if 1 < len(ids) > local else local
    if not 0 <= index < count:
        raise UserError(f"--gpu_ids {gpu_ids}: this machine has {count} GPUs; their numbers start at 0")
    return torch.device("cuda", index)


def start(device: torch.device) -> None:
    """Join the process group if torchrun started this process.

    Raises:
        UserError: the processes do not come together in the time that ZEBRAWOOD_JOIN_TIMEOUT gives them.
    """
    global _watch
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        with rank_variables.joining() as timeout_s:
            store, rank, world = _meet(timeout_s)
            if world > 1:
                _watch = RankWatch(store, rank, world, timeout_s)
            store.set_timeout(COLLECTIVE_TIMEOUT)
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=world, timeout=COLLECTIVE_TIMEOUT
            )
        atexit.register(_leave)


def _meet(timeout_s: float) -> tuple[dist.Store, int, int]:
    """The store of the run, this process's rank, and the number of processes.

    Raises:
        TimeoutError: the program at MASTER_PORT does not answer; torch has no time limit for that.
    """
    answers: SimpleQueue[Any] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(next(rendezvous("env://", timeout=timedelta(seconds=timeout_s))))
        except Exception as error:
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_S + (timeout_s if rank_variables.hosts_store() else 0))
    except Empty:
        raise TimeoutError("the program at this port does not answer") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def stop() -> None:
    """Leave the process group together: gloo can abort a process whose partner is still at work."""
    global _watch
    if dist.is_initialized():
        dist.barrier()
        if _watch:
            _watch.stop()
            _watch = None
        dist.destroy_process_group()


def _leave() -> None:
    """End the threads of gloo when an error has ended the program; a thread that still runs aborts the process."""
    if dist.is_initialized():
        dist.destroy_process_group()


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over ranks, with one flat all-reduce per dtype."""
    if world_size() == 1:
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for grads in by_dtype.values():
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= world_size()
        for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(mean.view_as(grad))


@torch.no_grad()
def broadcast(tensors: Iterable[Tensor]) -> None:
    """Copy the tensors of rank 0 to all ranks, in place."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def mean(values: dict[str, float]) -> dict[str, float]:
    """The mean of each value over ranks; every rank must call it with the same keys."""
    if world_size() == 1:
        return values
    # nccl needs the tensor to be on a GPU
    device = f"cuda:{torch.cuda.current_device()}" if dist.get_backend() == "nccl" else "cpu"
    total = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return dict(zip(values, (total / world_size()).tolist(), strict=True))


def any_rank(flag: bool) -> bool:
    """Whether `flag` is true on any rank; every rank must call it."""
    return mean({"flag": float(flag)})["flag"] > 0


def gather(value: Any) -> list[Any]:
    """The values of all ranks, in order of rank; every rank must call it."""
    values: list[Any] = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def barrier() -> None:
    if world_size() > 1:
        dist.barrier()


def describe(batch_size: int, device: torch.device, gpu_ids: str) -> None:
    """Print the number of processes, if there are several, and the images per step; warn of unused --gpu_ids."""
    ids = gpu_ids.split(",")
    if device.type != "cuda" and gpu_ids not in ("0", "-1"):
        log.warn(
            f"--gpu_ids {gpu_ids}: torch finds no GPU that it may use, so this runs on the device {device.type}"
        )
    elif device.type == "cuda" and world_size() < len(ids):
        log.warn(
            f"--gpu_ids {gpu_ids}: each process uses one GPU, so only {world_size()} of {len(ids)} is used; to use all, "
            f"start torchrun --nproc_per_node={len(ids)} train.py ..."
        )
    if world_size() > 1:
        processes = f"{world_size()} processes ({dist.get_backend()}, {device.type})"
        log.info(f"{processes} x --batch_size {batch_size} = {world_size() * batch_size} images per step")
