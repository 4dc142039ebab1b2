"""Self-attention over feature maps (SAGAN, Zhang et al. 2018, arXiv:1805.08318)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.cpu.fused_attention import attend, reference_attention
from util.reference_path import is_reference_path


class SelfAttention2d(nn.Module):
    """x + gamma * attention(x), with gamma 0 at the start, so that it begins as the identity.

    Plain form (arXiv v1): query and key C -> C/8, value C -> C, all with bias.
    Pooled form (the authors' later code, BigGAN): no biases, key and value max-pooled 2 x 2 (odd
    sides keep their last row and column), value C -> C/2, and an output convolution C/2 -> C.

    Logits are the plain products of query and key, not divided by sqrt(d); they and the softmax
    are computed in float32 whatever autocast says. Rows of a map are queries, columns are keys.

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
        """(N, C, H, W) -> (N, C, H, W); no H*W x H*W map is ever held, but on the plain path."""
        if is_reference_path():
            return self.explicit(x)[0]
        return self._residual(x, attend(*self._project(x)))

    def explicit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> the same output as forward(), and the map (N, H, W, Hk, Wk) whose rows sum to 1."""
        mixed, weights = reference_attention(*self._project(x))
        return self._residual(x, mixed), weights

    def rows(self, x: Tensor, points: list[tuple[float, float]]) -> Tensor:
        """The map's rows at a few query points: features (N, C, H, W), points (y, x) in [0, 1) -> (N, P, Hk, Wk)."""
        query, key, _ = self._project(x)
        height, width = x.shape[2:]
        places = [int(y * height) * width + int(x_ * width) for y, x_ in points]
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.softmax(query.flatten(2)[..., places].transpose(1, 2) @ key.flatten(2), dim=-1)
        return weights.view(len(x), len(points), *key.shape[2:])

    def describe(self, cells: int) -> str:
        """What a map over `cells` places would take in float32; training never holds it, showing holds a few rows."""
        keys = -(-cells // 4) if self.pooled else cells
        return f"{cells} x {keys} places: a map would take {4 * cells * keys / 2**20:.1f} MiB an image, none is held"

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, H, W) -> query (N, C/8, H, W), key (N, C/8, Hk, Wk), value (N, C or C/2, Hk, Wk), at least float32."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.pooled:
            key = F.max_pool2d(key, 2, ceil_mode=True)
            value = F.max_pool2d(value, 2, ceil_mode=True)
        return _full_precision(query), _full_precision(key), _full_precision(value)

    def _residual(self, x: Tensor, mixed: Tensor) -> Tensor:
        return x + self.gamma * self.output(mixed.to(x.dtype))


def describe(attention: nn.ModuleDict, cells: Callable[[str], int | None]) -> list[str]:
    """A line for each attention of a net; `cells` says of a place how many it has, or None where that is not known."""
    lines = []
    for place, module in attention.items():
        assert isinstance(module, SelfAttention2d)
        count = cells(place)
        lines.append(f"attention at {place}" + ("" if count is None else f", {module.describe(count)}"))
    return lines


def _full_precision(features: Tensor) -> Tensor:
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
