"""Computation without files: training steps, images from generators, and self-attention."""

from argparse import Namespace
from collections.abc import Callable
from functools import cache, partial

import torch
from torch.utils.benchmark import Timer

from models import create_model
from models.base_model import BaseModel, Batch
from models.networks import SelfAttention2d
from scripts.benchmarks.measure import Case, Setting
from scripts.benchmarks.peers import peer_step, random_batch
from util import free_memory

MAPS = 4.2  # floats per (N, HW, HW) map, as measured: logits, weights and the gradients of both


def build(opt: Namespace) -> tuple[BaseModel, Batch]:
    """The model of a training run and a batch; equal networks get equal weights."""
    torch.manual_seed(0)
    return create_model(opt), random_batch(opt)


def step(setting: Setting, words: str) -> Case:
    """Training steps on one random batch; times are those of one optimize_parameters()."""
    opt = setting.options(words)
    steps = vars(opt).get("n_critic", 1)  # one of G, and all of D that belong to it

    def prepare(opt: Namespace) -> Callable[[], object]:
        model, batch = build(opt)
        train = partial(model.optimize_parameters, batch)
        return lambda: [train() for _ in range(steps)]

    if setting.peer:
        theirs = setting.stack.enter_context(peer_step(setting.peer, opt, setting.folder))
        return Case(
            [setting.timed(prepare(opt)), theirs], setting.peer.title, steps, opt.batch_size, on_device=True
        )
    return Case(setting.both(words, prepare), units=steps, images=opt.batch_size, on_device=True)


def sample(setting: Setting, words: str, net: str = "G") -> Case:
    """The generator `net` on one batch of noise, or of images where it translates."""

    def prepare(opt: Namespace) -> Callable[[], None]:
        model, batch = build(opt)
        inputs = [batch["A"]]
        if "z_dim" in opt:
            z = torch.randn(opt.batch_size, opt.z_dim, device=opt.device)
            inputs = [z, batch["label"]] if opt.n_classes else [z]

        @torch.no_grad()
        def run() -> None:
            with model.inference_mode():
                model.nets[net](*inputs)

        return run

    words += " --ema_decay 0"
    return Case(setting.both(words, prepare), images=setting.options(words).batch_size, on_device=True)


def attention(setting: Setting, channels: int, side: int, count: int) -> Case:
    """Forward and backward of self-attention, fused and with its map, at a batch whose maps fit into memory."""
    free = torch.cuda.mem_get_info()[0] if setting.device == "cuda" else free_memory.available_bytes()
    fitting = count if free is None else min(count, int(free / (MAPS * 4 * side**4)))
    batch = fitting or count
    with torch.device(setting.device):
        net = SelfAttention2d(channels)
        x = torch.randn(batch, channels, side, side, requires_grad=True)
    torch.nn.init.ones_(net.gamma)

    def run(forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
        x.grad = None
        net.zero_grad(set_to_none=True)
        forward(x).sum().backward()

    forms = [setting.timed(lambda: run(net)), setting.timed(lambda: run(lambda x: net.explicit(x)[0]))]
    if not fitting:
        return Case(forms[:1], "nothing: the map does not fit into memory", images=batch, on_device=True)
    against = "holds the map" if batch == count else f"holds the map; batch {batch}: more does not fit"
    return Case(forms, against, images=batch, on_device=True)


@cache
def best_flops(device: str) -> float:
    """FLOP/s of a large matrix product, in bfloat16 on CUDA, else in float32."""
    side, dtype = (8192, torch.bfloat16) if device == "cuda" else (2048, torch.float32)
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    timer = Timer("a @ b", globals={"a": a, "b": b}, num_threads=torch.get_num_threads())
    return 2 * side**3 / min(timer.timeit(1).mean for _ in range(5))
