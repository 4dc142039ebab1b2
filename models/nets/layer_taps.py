"""A chain of layers that can hold self-attention at named places without renaming its weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.nets.attention import SelfAttention2d, describe
from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.init import init_weights
from models.nets.mismatch import explain_mismatch
from util.errors import UserError


class TappedChain(SpeedUp):
    """`model`, a Sequential with upstream's keys, and `attention`, modules that follow some of its layers.

    `taps`: name of a place -> (index of the layer that attention follows, its channels, the stride of its features).
    `smallest_side` is that of the images, in pixels.
    """

    explain_mismatch = explain_mismatch

    def __init__(
        self, layers: list[nn.Module], taps: dict[str, tuple[int, int, int]], smallest_side: int
    ) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.taps, self.smallest_side = taps, smallest_side
        self.attention = nn.ModuleDict()

    def attend_at(self, tap: str, *, pooled: bool = True) -> SelfAttention2d:
        """Add attention at a named place and return it.

        Raises:
            ValueError: this net has no such place.
        """
        if tap not in self.taps:
            known = ", ".join(self.taps)
            raise ValueError(f"{type(self).__name__} has no place {tap!r} for attention; it has: {known}")
        attention = SelfAttention2d(self.taps[tap][1], pooled=pooled)
        self.attention[tap] = attention
        return attention

    def describe(self, side: int | None) -> list[str]:
        """One line for each attention module, with the size of its map if all images have `side` pixels."""
        return describe(self.attention, lambda tap: side and (-(-side // self.taps[tap][2])) ** 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the output of the chain.

        Raises:
            UserError: a side is too small.
        """
        height, width = x.shape[-2:]
        if min(height, width) < self.smallest_side:
            raise UserError(
                f"{type(self).__name__} takes images of at least {self.smallest_side} pixels a side, not {width} x "
                f"{height}: use larger images, or --preprocess resize_and_crop"
            )
        if not self.attention:
            return self.model(x)
        after = {self.taps[tap][0]: module for tap, module in self.attention.items()}
        for index, layer in enumerate(self.model):
            x = layer(x)
            if index in after:
                x = after[index](x)
        return x


def add_attention(
    net: nn.Module,
    taps: Sequence[str],
    *,
    pooled: bool = True,
    init_type: str = "normal",
    init_gain: float = 0.02,
) -> nn.Module:
    """Add initialised self-attention to a net at named places, in place.

    The random state is restored, so that other nets get the same initial weights as without attention.

    Raises:
        ValueError: the net has no such place.
    """
    with torch.random.fork_rng(devices=[]):
        for tap in taps:
            if not isinstance(net, TappedChain):
                raise ValueError(
                    f"{type(net).__name__} has no place for attention; ResNet generators and PatchGANs have"
                )
            init_weights(net.attend_at(tap, pooled=pooled), init_type, init_gain)
    return net
