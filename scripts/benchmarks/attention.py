"""Self-attention forward and backward: fused, beside the form that holds its map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scripts.benchmarks.measure import Case, timed
from scripts.benchmarks.setting import Make, Setting

if TYPE_CHECKING:
    from torch import Tensor

    from models.networks import SelfAttention2d

MAPS = 4.2  # of N x HW x HW floats: logits, weights and the gradients of both, as measured


def attention_case(channels: int, side: int, count: int) -> Make:
    """Both forms on the same features (count, channels, side, side); fewer where the map would not fit."""

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        import torch

        from models.networks import SelfAttention2d

        fitting = _fitting(count, side, _room(setting.device))
        attention = SelfAttention2d(channels).to(setting.device)
        torch.nn.init.ones_(attention.gamma)
        x = torch.randn(fitting, channels, side, side, device=setting.device)
        yield Case(
            fast=timed(setting.gauge, _both_ways(attention, attention, x)),
            baseline=timed(setting.gauge, _both_ways(attention, lambda x: attention.explicit(x)[0], x)),
            beside="plain, which holds its map",
            images=fitting,
            warm_ups=setting.warm_ups,
            flops=3 * _forward_flops(attention, fitting, side),
            note=lambda: "" if fitting == count else f"both at batch {fitting}: more would not fit",
        )

    return make


def attention_step_case(channels: int, side: int) -> Make:
    """A training step of the fused form alone, where no map could be held: forward, backward and Adam."""

    @contextmanager
    def make(setting: Setting) -> Iterator[Case]:
        import torch

        from models.networks import SelfAttention2d

        attention = SelfAttention2d(channels).to(setting.device)
        torch.nn.init.ones_(attention.gamma)
        optimizer = torch.optim.Adam(attention.parameters(), lr=1e-4)
        x = torch.randn(1, channels, side, side, device=setting.device)
        gradients = _both_ways(attention, attention, x)

        def step() -> None:
            gradients()
            optimizer.step()

        flops = 3 * _forward_flops(attention, 1, side)
        yield Case(timed(setting.gauge, step), None, "nothing: no map fits", images=1, flops=flops)

    return make


def _both_ways(
    attention: SelfAttention2d, forward: Callable[[Tensor], Tensor], x: Tensor
) -> Callable[[], object]:
    """Forward and backward, down to the weights and to the features."""
    x.requires_grad_()

    def run() -> None:
        x.grad = None
        attention.zero_grad(set_to_none=True)
        forward(x).sum().backward()

    return run


def _forward_flops(attention: SelfAttention2d, count: int, side: int) -> float:
    """Of the two products with the map and the 1x1 convolutions."""
    places = side**2
    convolutions = (attention.query, attention.key, attention.value)
    inner = attention.key.out_channels + attention.value.out_channels
    weights = sum(layer.weight.numel() for layer in convolutions)
    return 2.0 * count * (places**2 * inner + places * weights)


def _fitting(count: int, side: int, room: int | None) -> int:
    """How many maps of side**2 x side**2 fit into so many bytes with all that training makes of them; 1 at least."""
    need = MAPS * 4 * side**4
    return count if room is None else max(1, min(count, int(room / need)))


def _room(device: str) -> int | None:
    """Bytes that are free on the device."""
    if device == "cuda":
        import torch

        return torch.cuda.mem_get_info()[0]
    from data.cache.free_memory import available_bytes

    return available_bytes()
