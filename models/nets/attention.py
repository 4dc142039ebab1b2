"""Self-attention over feature maps (SAGAN, Zhang et al. 2018, arXiv:1805.08318)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.cpu.fused_attention import attend, reference_attention
from models.nets.layers import full_precision
from util.reference_path import is_reference_path


class SelfAttention2d(nn.Module):
    """x + gamma * attention(x). Gamma is 0 at the start, so that the module begins as the identity.

    Unpooled form (version 1 of the paper): query and key C -> C/8, value C -> C, all with bias.
    Pooled form (the authors' later code, BigGAN): no biases, key and value max-pooled 2 x 2 (the last row and
    column of odd sides are kept), value C -> C/2, and an output convolution C/2 -> C.

    Logits are products of query and key, not divided by sqrt(d), in float32 also under autocast. Rows of an
    attention map are queries, columns are keys.

    Raises:
        ValueError: fewer than 8 channels.
    """

    def __init__(self, channels: int, *, pooled: bool = False) -> None:
        super().__init__()
        if channels < 8:
            raise ValueError(
                f"self-attention needs at least 8 channels, not {channels}: use a wider net (--ngf, --ndf)"
            )
        self.pooled = pooled
        inner = channels // 2 if pooled else channels
        self.query = nn.Conv2d(channels, channels // 8, 1, bias=not pooled)
        self.key = nn.Conv2d(channels, channels // 8, 1, bias=not pooled)
        self.value = nn.Conv2d(channels, inner, 1, bias=not pooled)
        self.output = nn.Conv2d(inner, channels, 1, bias=False) if pooled else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W). Only the reference path holds the attention map in memory."""
        if is_reference_path():
            return self.explicit(x)[0]
        return self._residual(x, attend(*self._project(x)))

    def explicit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> the output of forward(), and the map (N, H, W, Hk, Wk) whose rows sum to 1."""
        mixed, weights = reference_attention(*self._project(x))
        return self._residual(x, mixed), weights

    def rows(self, x: Tensor, points: list[tuple[float, float]]) -> Tensor:
        """Some rows of the map: features (N, C, H, W), query points (y, x) in [0, 1) -> (N, P, Hk, Wk)."""
        query, key, _ = self._project(x)
        height, width = x.shape[2:]
        places = [int(y * height) * width + int(x_ * width) for y, x_ in points]
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.softmax(query.flatten(2)[..., places].transpose(1, 2) @ key.flatten(2), dim=-1)
        return weights.view(len(x), len(points), *key.shape[2:])

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, H, W) -> query (N, C/8, H, W), key (N, C/8, Hk, Wk), value (N, C or C/2, Hk, Wk), at least float32."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.pooled:
            key = F.max_pool2d(key, 2, ceil_mode=True)
            value = F.max_pool2d(value, 2, ceil_mode=True)
        return full_precision(query), full_precision(key), full_precision(value)

    def _residual(self, x: Tensor, mixed: Tensor) -> Tensor:
        return x + self.gamma * self.output(mixed.to(x.dtype))


def describe(attention: nn.ModuleDict, cells: Callable[[str], int | None]) -> list[str]:
    """One line for each attention module: the size of a map over cells(name) places and its memory in float32."""
    lines = []
    for place, module in attention.items():
        count = cells(place)
        lines.append(f"attention at {place}")
        if count is not None:
            keys = -(-count // 4) if module.pooled else count
            lines[-1] += (
                f", {count} x {keys} places: a map would take {4 * count * keys / 2**20:.1f} MiB an image, "
            )
            lines[-1] += "but none is stored"
    return lines


class AttentionNet(SpeedUp):
    """A net with attention after features of some sides, stored beside the layers so that their keys do not change."""

    attention: nn.ModuleDict
    likes_channels_last = True

    def add_attention(self, sides: Sequence[int], channels: dict[int, int], *, pooled: bool) -> None:
        """Create attention for features of these sides; `channels` maps all sides of the net to channels.

        Raises:
            ValueError: the net has no features of a side, or fewer than 8 channels there.
        """
        missing = [str(side) for side in sides if side not in channels]
        if missing:
            raise ValueError(
                f"{type(self).__name__} has no features of side {', '.join(missing)} for attention (--attn_res); "
                f"it has: {', '.join(map(str, sorted(channels)))}"
            )
        self.attention = nn.ModuleDict(
            {str(side): SelfAttention2d(channels[side], pooled=pooled) for side in sides}
        )

    def attend(self, x: Tensor) -> Tensor:
        """Features (N, C, H, W) -> the same shape, through the attention for their side if there is one."""
        side = str(x.shape[-1])
        return self.attention[side](x) if side in self.attention else x

    def describe(self, side: int | None) -> list[str]:
        """One line for each attention module; the sides of the features do not depend on `side`, that of the images."""
        return describe(self.attention, lambda place: int(place) ** 2)


def attention_rows(
    net: nn.Module, place: str, inputs: Sequence[Tensor], points: list[tuple[float, float]]
) -> Tensor:
    """Rows of the attention map at `place` of a net, which runs in eval mode on `inputs`, N of each.

    Points (y, x) in [0, 1) -> (N, P, h, w); each map sums to 1.
    """
    training = net.training
    net.eval()
    attention, features = net.get_submodule(f"attention.{place}"), []
    assert isinstance(attention, SelfAttention2d)
    try:
        with (
            attention.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0])),
            torch.no_grad(),
        ):
            net(*inputs)
            return attention.rows(features[0], points)
    finally:
        net.train(training)


def gammas(nets: nn.ModuleDict) -> dict[str, Tensor]:
    """gamma_<net>_<place> -> gamma of each attention module."""
    return {
        f"gamma_{name}_{place}": attention.gamma.detach()
        for name, net in nets.items()
        for place, attention in getattr(net, "attention", {}).items()
    }
