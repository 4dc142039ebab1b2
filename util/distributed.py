"""One process or many: the only module that knows about ranks and devices."""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from util import log
from util.errors import UserError


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def pick_device(name: str = "auto", gpu_ids: str = "0") -> torch.device:
    """`--device` and the classic `--gpu_ids` (`-1` = CPU; the first id counts) to a device.

    Raises:
        UserError: a device was named that this machine does not have.
    """
    ids = [int(word) for word in gpu_ids.split(",")]
    first = ids[0]
    if name == "cpu" or (name == "auto" and first < 0):
        return torch.device("cpu")
    if name == "mps" or (
        name == "auto" and not torch.cuda.is_available() and torch.backends.mps.is_available()
    ):
        if not torch.backends.mps.is_available():
            raise UserError("--device mps: this machine has no Metal device; use --device cpu")
        return torch.device("mps")
    if not torch.cuda.is_available():
        if name == "cuda":
            raise UserError("--device cuda: torch sees no CUDA device here; use --device cpu")
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", 0))
    if len(ids) > 1 and local < len(ids):
        index = ids[local]
    else:
        index = local if "LOCAL_RANK" in os.environ else first
    if not 0 <= index < torch.cuda.device_count():
        raise UserError(
            f"--gpu_ids {gpu_ids}: this machine has {torch.cuda.device_count()} GPUs, counted from 0"
        )
    return torch.device("cuda", index)


def start(device: torch.device, timeout_s: int = 1800) -> None:
    """Join the other processes when torchrun started this one, even if it is alone."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))


def stop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all ranks, in one flat all-reduce per dtype."""
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
    """Give every rank the tensors of rank 0."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def mean(values: dict[str, float]) -> dict[str, float]:
    """The mean over ranks of each value; every rank must call it, with the same keys."""
    if world_size() == 1:
        return values
    stacked = torch.tensor(list(values.values()), dtype=torch.float64, device=_wire())
    dist.all_reduce(stacked)
    return dict(zip(values, (stacked / world_size()).tolist(), strict=True))


def any_rank(flag: bool) -> bool:
    """True on all ranks as soon as it is on one."""
    if world_size() == 1:
        return flag
    raised = torch.tensor([float(flag)], device=_wire())
    dist.all_reduce(raised)
    return bool(raised.item() > 0)


def gather(value: Any) -> list[Any]:
    """The values of all ranks, in order; on every rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def barrier() -> None:
    if world_size() > 1:
        dist.barrier()


def describe(batch_size: int, device: torch.device) -> None:
    """Say how the work is spread, when it is."""
    if world_size() > 1:
        log.info(
            f"{world_size()} processes ({dist.get_backend()}, {device.type}) x --batch_size {batch_size}"
            f" = {world_size() * batch_size} images a step"
        )


def _wire() -> torch.device:
    """Where a tensor must lie to be sent: nccl sends from GPUs alone."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if dist.get_backend() == "nccl"
        else torch.device("cpu")
    )
