"""A chain of layers that can hold self-attention at named places without renaming its weights."""

from torch import Tensor, nn

from models.nets.attention import SelfAttention2d, describe
from models.nets.cpu.cpu_kernels import SpeedUp


class TappedChain(SpeedUp):
    """`model`, a Sequential with the classic keys, and `attention`, modules that follow chosen layers of it.

    `taps` names the places: tap -> (index of the layer that attention follows, its channels, stride
    of its features). Attention lives beside the chain, so that adding it shifts no key of the chain.
    """

    def __init__(self, layers: list[nn.Module], taps: dict[str, tuple[int, int, int]]) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.taps = taps
        self.attention = nn.ModuleDict()

    def attend_at(self, tap: str, *, pooled: bool = True) -> SelfAttention2d:
        """Add attention at a named place and return it.

        Raises:
            ValueError: this net has no such place.
        """
        if tap not in self.taps:
            raise ValueError(
                f"{type(self).__name__} has no place {tap!r} for attention; it has: {', '.join(self.taps)}"
            )
        attention = SelfAttention2d(self.taps[tap][1], pooled=pooled)
        self.attention[tap] = attention
        return attention

    def describe(self, side: int | None) -> list[str]:
        """A line for each attention; what its map would take is known where images have one side (in pixels)."""
        return describe(
            self.attention, lambda tap: None if side is None else (-(-side // self.taps[tap][2])) ** 2
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> what the chain makes of it."""
        if not self.attention:
            return self.model(x)
        after = {self.taps[tap][0]: module for tap, module in self.attention.items()}
        for index, layer in enumerate(self.model):
            x = layer(x)
            if index in after:
                x = after[index](x)
        return x
