"""Computation without files: training steps, images from generators, and self-attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scripts.benchmarks.measure import Case
from scripts.benchmarks.peers import peer_step
from scripts.benchmarks.setting import Setting, build, random_batch

if TYPE_CHECKING:
    from models.base_model import BaseModel

# floats per (N, HW, HW) map, as measured: logits, weights and the gradients of both
MAPS = 4.2


def step_case(words: str, setting: Setting) -> Case:
    """Training steps of a model on one random batch, which both sides share.

    A run holds one step of the generator and all steps of the discriminator that belong to it, so that
    all runs do the same work; times are those of one optimize_parameters().
    """
    opt = setting.options(words, fast=True)
    batch = random_batch(opt, setting.device)
    steps = vars(opt).get("n_critic", 1)

    def training(model: BaseModel) -> Callable[[], None]:
        def run() -> None:
            for _ in range(steps):
                model.optimize_parameters(batch)

        return run

    fast = setting.timed(training(build(opt)))
    if setting.peer:
        context = peer_step(setting.peer, opt, batch, folder=setting.folder, device=setting.device)
        baseline, against = setting.stack.enter_context(context), f"the checkout of {setting.peer.title}"
    else:
        baseline = setting.timed(training(build(setting.options(words, fast=False))))
        against = "reference path"
    counted = setting.peer is None
    return Case(fast, baseline, against, steps, opt.batch_size, counted=counted, warm_ups=setting.warm_ups)


def sampling_case(words: str, net: str, setting: Setting) -> Case:
    """The generator `net` of a model on one batch of noise, or of images where it translates."""
    import torch

    opt = setting.options(f"{words} --ema_decay 0", fast=True)
    inputs = [random_batch(opt, setting.device)["A"]]
    if "z_dim" in opt:
        inputs = [torch.randn(opt.batch_size, opt.z_dim, device=setting.device)]
        inputs += [torch.arange(opt.batch_size, device=setting.device) % opt.n_classes] * bool(opt.n_classes)

    def generating(model: BaseModel) -> Callable[[], None]:
        @torch.no_grad()
        def run() -> None:
            with model.inference_mode():
                model.nets[net](*inputs)

        return run

    fast, reference = (
        setting.timed(generating(build(setting.options(f"{words} --ema_decay 0", fast=form))))
        for form in (True, False)
    )
    warm_ups = setting.warm_ups
    return Case(fast, reference, "reference path", 1, opt.batch_size, counted=True, warm_ups=warm_ups)


def attention_case(channels: int, side: int, count: int, setting: Setting) -> Case:
    """Forward and backward of self-attention on features (count, channels, side, side), fused and with its map.

    The batch is smaller where the maps would not fit into memory; if a single map does not, the fused form
    runs without a baseline.
    """
    fitting = maps_that_fit(count, side, free_bytes(setting.device))
    batch = fitting or count
    fused, explicit = (
        setting.timed(attention_pass(channels, side, batch, setting.device, holds_map=holds_map))
        for holds_map in (False, True)
    )
    return Case(
        fused,
        explicit if fitting else None,
        "reference path, which holds the map" if fitting else "nothing: the map does not fit into memory",
        images=batch,
        warm_ups=setting.warm_ups,
        flops=batch * attention_flops(channels, side),
        note=lambda: "" if batch == count else f"both at batch {batch}: more does not fit into memory",
    )


def attention_pass(
    channels: int, side: int, count: int, device: str, *, holds_map: bool
) -> Callable[[], None]:
    """Forward and backward, down to the weights and to the features."""
    import torch

    from models.networks import SelfAttention2d

    with torch.device(device):
        attention = SelfAttention2d(channels)
        x = torch.randn(count, channels, side, side, requires_grad=True)
    torch.nn.init.ones_(attention.gamma)

    def run() -> None:
        x.grad = None
        attention.zero_grad(set_to_none=True)
        y = attention.explicit(x)[0] if holds_map else attention(x)
        y.sum().backward()

    return run


def attention_flops(channels: int, side: int) -> int:
    """Of forward and backward of the form that holds the map, for one image."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    with FakeTensorMode(), FlopCounterMode(display=False) as counter:  # shapes without numbers or memory
        attention_pass(channels, side, 1, "cpu", holds_map=True)()
    return counter.get_total_flops()


def maps_that_fit(count: int, side: int, free: int | None) -> int:
    """How many of `count` maps of side**2 x side**2 fit into `free` bytes in training; None = unlimited."""
    return count if free is None else min(count, int(free / (MAPS * 4 * side**4)))


def free_bytes(device: str) -> int | None:
    import torch

    from data.cache.free_memory import available_bytes

    return torch.cuda.mem_get_info()[0] if device == "cuda" else available_bytes()
