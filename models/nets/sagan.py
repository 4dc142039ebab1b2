"""SAGAN (Zhang et al. 2018, arXiv:1805.08318) in the layout of the well-known code by heykeetae, for 32 to 256 pixels."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.attention import SelfAttention2d, describe
from models.nets.conditional import ClassEmbedding, ConditionalNorm, check_label
from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.layers import Norm

SIZES = (32, 64, 128, 256)  # sides of the images in pixels
CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d


class NearestConv(nn.Conv2d):
    """Each value repeated 2 x 2, then a 3 x 3 convolution: (N, C, H, W) -> (N, C', 2H, 2W)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


# name -> (channels, output channels) -> a layer that doubles the side
UPSAMPLES: dict[str, Callable[[int, int], nn.Module]] = {
    "deconv": lambda channels, out: nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1),
    "nearest": NearestConv,
}


def default_attention(size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the nets for images of `size` pixels attend: resolutions of G, of D; (16, 32), (8, 4) at 64 pixels."""
    on_D = (size // 8, size // 16)
    return (size // 4, size // 2), on_D if size > SIZES[0] else on_D[:1]  # D ends at 4 x 4


def channels_at(width: int, size: int) -> dict[int, int]:
    """Resolution -> channels there, from 4 x 4 to half the image, where there are `width`; 512 at 4 for 64, 64 pixels.

    Raises:
        ValueError: no net has this size.
    """
    if size not in SIZES:
        raise ValueError(
            f"SAGAN has no nets for images of {size} pixels; sizes: {', '.join(map(str, SIZES))}"
        )
    resolutions = (2**power for power in range(2, size.bit_length() - 1))
    return {resolution: width * size // (2 * resolution) for resolution in resolutions}


class Pyramid(SpeedUp):
    """`blocks` in turn, by the resolution that they produce, with `attention` after chosen ones.

    Attention lives beside the blocks, so that adding it shifts no key of theirs.
    """

    likes_channels_last = True

    def __init__(self, blocks: dict[int, nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({str(resolution): block for resolution, block in blocks.items()})

    def attend_at(self, attn_res: Sequence[int], channels: dict[int, int], *, pooled: bool) -> None:
        """Add attention after the blocks that produce the resolutions `attn_res`.

        Raises:
            ValueError: a resolution that the net does not have, or too few channels there.
        """
        for resolution in attn_res:
            if resolution not in channels:
                known = ", ".join(self.blocks)
                raise ValueError(
                    f"{type(self).__name__} has no features of side {resolution} for attention; it has: {known}"
                )
        chosen = [resolution for resolution in self.blocks if int(resolution) in attn_res]
        self.attention = nn.ModuleDict(
            {resolution: SelfAttention2d(channels[int(resolution)], pooled=pooled) for resolution in chosen}
        )

    def features(self, x: Tensor, *condition: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W') of the last block; a condition goes to every block."""
        for resolution, block in self.blocks.items():
            x = block(x, *condition)
            if resolution in self.attention:
                x = self.attention[resolution](x)
        return x

    def spectral_layers(self, scope: str = "all") -> list[nn.Module]:
        """The layers for spectral norm: `all`, or `seed`, those that heykeetae's code treats (the blocks' own)."""
        assert scope in ("all", "seed"), scope
        modules = self.modules() if scope == "all" else self.blocks.modules()
        return [module for module in modules if isinstance(module, CONVOLUTIONS)]

    def describe(self, side: int | None) -> list[str]:
        """A line for each attention, with what its map would take where the images' side (in pixels) is known."""
        return describe(self.attention, lambda place: None if side is None else int(place) ** 2)


class UpBlock(nn.Module):
    """A layer that enlarges, a norm, ReLU; a condition (N,) or (N, n_classes) goes to the norm."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return F.relu(self.norm(self.conv(x), *condition), inplace=True)


class SAGANGenerator(Pyramid):
    """z -> 4 x 4, then doublings to size x size, each with norm and ReLU but the last, which has tanh.

    All convolutions keep their bias, norm or not, as the source has it. `norm` is class-conditional where
    there are classes; `upsample` is `deconv`, or `nearest` against checkerboards. `ngf` is the width
    next to the image.

    Raises:
        ValueError: no net has this size, or a resolution of `attn_res` is not in it.
    """

    def __init__(
        self,
        *,
        z_dim: int,
        output_nc: int,
        ngf: int,
        size: int,
        norm: Norm,
        n_classes: int = 0,
        attn_res: Sequence[int],
        pooled: bool,
        upsample: str = "deconv",
    ) -> None:
        channels = channels_at(ngf, size)
        double = UPSAMPLES[upsample]
        blocks: dict[int, nn.Module] = {}
        below = z_dim
        for resolution, width in channels.items():
            grow = double if blocks else _first  # z has no neighbours to interpolate: both forms start alike
            blocks[resolution] = UpBlock(grow(below, width), _norm(width, norm, n_classes))
            below = width
        super().__init__(blocks)
        self.n_classes = n_classes
        self.last = double(ngf, output_nc)
        self.attend_at(attn_res, channels, pooled=pooled)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """z (N, z_dim), with classes label int64 (N,) or float (N, n_classes) -> (N, output_nc, size, size) in [-1, 1]."""
        check_label(label, self.n_classes, z)
        condition = () if label is None else (label,)
        return self.last(self.features(z[:, :, None, None], *condition)).tanh()


class SAGANDiscriminator(Pyramid):
    """Halvings to 4 x 4 without norms, then one logit; with classes a projection of the features on the label's vector.

    The projection (Miyato and Koyama 2018, arXiv:1802.05637) adds <embed(label), sum over space of the
    last features>. `ndf` is the width next to the image.

    Raises:
        ValueError: no net has this size, or a resolution of `attn_res` is not in it.
    """

    def __init__(
        self,
        *,
        input_nc: int,
        ndf: int,
        size: int,
        n_classes: int = 0,
        attn_res: Sequence[int],
        pooled: bool,
    ) -> None:
        channels = dict(reversed(channels_at(ndf, size).items()))
        blocks: dict[int, nn.Module] = {}
        above = input_nc
        for resolution, width in channels.items():
            conv = nn.Conv2d(above, width, 4, stride=2, padding=1)
            blocks[resolution] = nn.Sequential(conv, nn.LeakyReLU(0.1, inplace=True))
            above = width
        super().__init__(blocks)
        self.n_classes = n_classes
        self.last = nn.Conv2d(above, 1, 4)
        self.embed = ClassEmbedding(n_classes, above) if n_classes else None
        self.attend_at(attn_res, channels, pooled=pooled)

    def spectral_layers(self, scope: str = "all") -> list[nn.Module]:
        """As of every Pyramid; `all` takes the embedding of labels, too, which is a linear layer of one-hot labels."""
        layers = super().spectral_layers(scope)
        return [*layers, self.embed] if self.embed is not None and scope == "all" else layers

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, input_nc, size, size) in [-1, 1], with classes label int64 (N,) or float (N, n_classes) -> logits (N,)."""
        check_label(label, self.n_classes, x)
        features = self.features(x)
        logits = self.last(features).view(len(x))
        if self.embed is None:
            return logits
        return logits + (self.embed(label) * features.sum((2, 3))).sum(1)


def _first(z_dim: int, width: int) -> nn.Module:
    return nn.ConvTranspose2d(z_dim, width, 4)


def _norm(channels: int, norm: Norm, n_classes: int) -> nn.Module:
    if not n_classes:
        return norm(channels)
    gain, bias = (ClassEmbedding(n_classes, channels) for _ in range(2))
    return ConditionalNorm(channels, norm=norm, gain=gain, bias=bias)
