"""SAGAN (Zhang et al. 2018, arXiv:1805.08318) in the layout of github.com/heykeetae/Self-Attention-GAN."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.attention import AttentionNet
from models.nets.conditional import ClassEmbedding, ConditionalNorm, check_label, check_size
from models.nets.families import Family, register
from models.nets.layers import Norm

SIZES = (32, 64, 128, 256)  # sides of the images in pixels
CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d


# name -> (layer, (channels, output channels) -> convolution), which together double the side
UPSAMPLES: dict[str, tuple[Callable[[], nn.Module], Callable[[int, int], nn.Module]]] = {
    "deconv": (nn.Identity, lambda channels, out: nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)),
    "nearest": (
        lambda: nn.Upsample(scale_factor=2, mode="nearest"),
        lambda channels, out: nn.Conv2d(channels, out, 3, padding=1),
    ),
}


def default_attention(size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sides of the features that attend by default in G and in D; (16, 32) and (8, 4) at 64 pixels."""
    on_D = (size // 8, size // 16)
    return (size // 4, size // 2), on_D if size > SIZES[0] else on_D[:1]  # D ends at 4 x 4


def channels_at(width: int, size: int) -> dict[int, int]:
    """Resolution -> channels, from 4 x 4 to half the image's side, which has `width`; channels_at(64, 64)[4] = 512."""
    check_size("SAGAN", size, SIZES)
    resolutions = (2**power for power in range(2, size.bit_length() - 1))
    return {resolution: width * size // (2 * resolution) for resolution in resolutions}


class Pyramid(AttentionNet):
    """`blocks` in sequence, named for the resolution of their output, with attention after some of them."""

    def __init__(self, blocks: dict[int, nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({str(resolution): block for resolution, block in blocks.items()})

    def attend_at(self, attn_res: Sequence[int], channels: dict[int, int], *, pooled: bool) -> None:
        """Add attention after the blocks that produce the resolutions `attn_res`, in the order of the blocks."""
        order = [*channels, *attn_res]
        self.add_attention(sorted(set(attn_res), key=order.index), channels, pooled=pooled)

    def features(self, x: Tensor, *condition: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W') of the last block; every block gets the condition."""
        for block in self.blocks.values():
            x = self.attend(block(x, *condition))
        return x

    def spectral_layers(self, scope: str = "all") -> list[nn.Module]:
        """The layers for spectral norm: `all`, or only those in `blocks`, as in heykeetae's code."""
        assert scope in ("all", "blocks"), scope
        modules = self.modules() if scope == "all" else self.blocks.modules()
        return [module for module in modules if isinstance(module, CONVOLUTIONS)]


class UpBlock(nn.Module):
    """Upsampling, convolution, norm, ReLU; a condition (N,) or (N, n_classes) goes to the norm."""

    def __init__(self, upsample: nn.Module, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.upsample, self.conv, self.norm = upsample, conv, norm

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return F.relu(self.norm(self.conv(self.upsample(x)), *condition), inplace=True)


class SAGANGenerator(Pyramid):
    """z -> 4 x 4, then doublings to size x size with norm and ReLU; the last layer has tanh instead.

    All convolutions have a bias, as in heykeetae's code. With classes `norm` is class-conditional. `upsample` is
    `deconv`, or `nearest`, which avoids checkerboard patterns. `ngf` is the number of channels next to the image.

    Raises:
        ValueError: there is no architecture for this size, or it does not have a resolution of `attn_res`.
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
        enlarge, conv = UPSAMPLES[upsample]
        blocks: dict[int, nn.Module] = {}
        below = z_dim
        for resolution, width in channels.items():
            # z is 1 x 1, so both forms begin with the same transposed convolution to 4 x 4
            up = enlarge() if blocks else nn.Identity()
            layer = conv(below, width) if blocks else nn.ConvTranspose2d(below, width, 4)
            blocks[resolution] = UpBlock(up, layer, _norm(width, norm, n_classes))
            below = width
        super().__init__(blocks)
        self.n_classes = n_classes
        self.upsample, self.last = enlarge(), conv(ngf, output_nc)
        self.attend_at(attn_res, channels, pooled=pooled)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """z (N, z_dim), with classes label int64 (N,) or float (N, n_classes) -> (N, output_nc, size, size) in [-1, 1]."""
        check_label(label, self.n_classes, z)
        condition = () if label is None else (label,)
        return self.last(self.upsample(self.features(z[:, :, None, None], *condition))).tanh()


class SAGANDiscriminator(Pyramid):
    """Halvings to 4 x 4 without norms, then one logit.

    With classes, <embed(label), sum over space of the last features> is added to the logit (projection, Eq. 3 of
    arXiv:1802.05637). `ndf` is the number of channels next to the image.

    Raises:
        ValueError: there is no architecture for this size, or it does not have a resolution of `attn_res`.
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
        """As in Pyramid; `all` includes the label embedding, which is a linear layer on one-hot labels."""
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


def _norm(channels: int, norm: Norm, n_classes: int) -> nn.Module:
    if not n_classes:
        return norm(channels)
    gain, bias = (ClassEmbedding(n_classes, channels) for _ in range(2))
    return ConditionalNorm(channels, norm=norm, gain=gain, bias=bias)


register(
    Family(
        "sagan",
        "SAGAN, convolutions with self-attention, for 32 to 256 pixels",
        generator=SAGANGenerator,
        discriminator=SAGANDiscriminator,
        source="noise",
        sizes=SIZES,
        default_attention=default_attention,
    )
)
