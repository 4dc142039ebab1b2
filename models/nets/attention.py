"""Self-attention over feature maps (SAGAN, Zhang et al. 2018, arXiv:1805.08318)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from util.plain import is_plain


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
        if is_plain():
            return self.explicit(x)[0]
        query, key, value = self._project(x)
        # the fused kernels want four dimensions, rows in one piece, and one width for all three;
        # zeros leave the products as they are
        padding = value.shape[-1] - key.shape[-1]
        query, key = F.pad(query, (0, padding)), F.pad(key, (0, padding))
        query, key, value = (rows.unsqueeze(1).contiguous() for rows in (query, key, value))
        with torch.autocast(x.device.type, enabled=False):
            mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0).squeeze(1)
        return self._residual(x, mixed)

    def explicit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> the same output as forward(), and the map (N, H, W, Hk, Wk) whose rows sum to 1."""
        query, key, value = self._project(x)
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.softmax(query @ key.transpose(1, 2), dim=-1)
            mixed = weights @ value
        height, width = x.shape[2:]
        return self._residual(x, mixed), weights.view(len(x), height, width, *self._key_size(height, width))

    def rows(self, x: Tensor, points: list[tuple[float, float]]) -> Tensor:
        """The map's rows at a few query points: features (N, C, H, W), points (y, x) in [0, 1) -> (N, P, Hk, Wk)."""
        query, key, _ = self._project(x)
        height, width = x.shape[2:]
        places = [int(y * height) * width + int(x_ * width) for y, x_ in points]
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.softmax(query[:, places] @ key.transpose(1, 2), dim=-1)
        return weights.view(len(x), len(points), *self._key_size(height, width))

    def describe(self, cells: int) -> str:
        """What a map over `cells` places would take in float32; training never holds it, showing holds a few rows."""
        keys = -(-cells // 4) if self.pooled else cells
        return f"{cells} x {keys} places: a map would take {4 * cells * keys / 2**20:.1f} MiB an image, none is held"

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, H, W) -> query (N, HW, C/8), key (N, M, C/8), value (N, M, C or C/2), in float32 or better."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.pooled:
            key = F.max_pool2d(key, 2, ceil_mode=True)
            value = F.max_pool2d(value, 2, ceil_mode=True)
        return _rows(query), _rows(key), _rows(value)

    def _key_size(self, height: int, width: int) -> tuple[int, int]:
        return (-(-height // 2), -(-width // 2)) if self.pooled else (height, width)

    def _residual(self, x: Tensor, mixed: Tensor) -> Tensor:
        mixed = mixed.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
        return x + self.gamma * self.output(mixed.to(x.dtype))


def describe(attention: nn.ModuleDict, cells: Callable[[str], int | None]) -> list[str]:
    """A line for each attention of a net; `cells` says of a place how many it has, or None where that is not known."""
    lines = []
    for place, module in attention.items():
        assert isinstance(module, SelfAttention2d)
        count = cells(place)
        lines.append(f"attention at {place}" + ("" if count is None else f", {module.describe(count)}"))
    return lines


def _rows(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H*W, C)."""
    rows = features.flatten(2).transpose(1, 2)
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
