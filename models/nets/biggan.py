"""BigGAN (Brock et al. 2019, arXiv:1809.11096): residual blocks, norms conditioned on class and noise, projection."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.attention import AttentionNet
from models.nets.conditional import ClassEmbedding, ConditionalNorm, check_label, check_size
from models.nets.families import Family, register
from models.nets.layers import Norm

# side in pixels -> widths in units of ngf: before the first block, then after each
G_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
# side in pixels -> widths in units of ndf after each block, and how many blocks halve the features
D_WIDTHS = {
    32: ((4, 4, 4, 4), 2),
    64: ((1, 2, 4, 8, 16), 4),
    128: ((1, 2, 4, 8, 16, 16), 5),
    256: ((1, 2, 4, 8, 8, 16, 16), 6),
}
SIZES = tuple(G_WIDTHS)
FIRST_SIDE = 4  # of the first features of the generator
PUBLISHED_CHUNK = 20  # elements of z for each block in the paper: z_dim 120 at 128 px, 140 at 256 px


def default_attention(size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The published sides of the features that attend, in G and D: 64 from 128 px on, 32 at 64 px, none at 32 px."""
    places = {32: (), 64: (32,)}.get(size, (64,))
    return places, places


class GBlock(nn.Module):
    """Norm, ReLU, upsampling, convolution, norm, ReLU, convolution; the shortcut is a 1 x 1 convolution."""

    def __init__(self, channels_in: int, channels_out: int, make_norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.bn1 = make_norm(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.bn2 = make_norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_sc = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        """x (N, C, H, W), the condition of the norms (N,) or (N, D) -> (N, C', 2H, 2W)."""
        h = F.interpolate(F.relu(self.bn1(x, *condition)), scale_factor=2)
        h = F.relu(self.bn2(self.conv1(h), *condition))
        # a 1 x 1 convolution and upsampling commute; this order takes a quarter of the operations
        return self.conv2(h) + F.interpolate(self.conv_sc(x), scale_factor=2)


class DBlock(nn.Module):
    """ReLU (except in the first block), convolution, ReLU, convolution, average pooling if `halve`.

    The shortcut has a 1 x 1 convolution where the shape changes.
    """

    def __init__(self, channels_in: int, channels_out: int, *, first: bool, halve: bool) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same_shape = channels_in == channels_out and not halve
        self.conv_sc = nn.Identity() if same_shape else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W), or (N, C', H/2, W/2) if it halves."""
        h = x if self.first else F.relu(x)  # not in place: the shortcut needs x
        h = self.conv2(F.relu(self.conv1(h)))
        if self.halve:
            # pooling and 1 x 1 convolutions commute; this order is cheaper
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        return h + self.conv_sc(x)


class BigGANGenerator(AttentionNet):
    """z and a class -> image; only the norms see the class.

    Args:
        ngf: the paper's `ch`, which the widths in G_WIDTHS multiply.
        n_classes: 0 = unconditional; then norms see their chunk of z, or have a learned gain and bias.
        attn_res: sides of the features that attention follows.
        hierarchical: split z into equal chunks, one for the first layer and one for the norms of each block.
        shared_dim: length of the class embedding that all norms share; 0 = each norm has an embedding.
        norm_eps: added to the variance in the conditional norms.

    Raises:
        ValueError: there is no architecture for this size, it has no features of a side in `attn_res`, z_dim cannot
            be split, or z is hierarchical without the shared embedding that its chunks are concatenated to.
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
        hierarchical: bool,
        shared_dim: int,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        check_size("BigGAN", size, SIZES)
        if hierarchical and n_classes and not shared_dim:
            raise ValueError(
                "--hierarchical true concatenates the chunks of z to a shared class embedding, which --shared_dim 0 "
                "turns off: use --shared_dim 128, or --hierarchical false"
            )
        widths = [ngf * width for width in G_WIDTHS[size]]
        self.n_classes, self.hierarchical = n_classes, hierarchical
        chunk = _chunk(z_dim, len(widths)) if hierarchical else 0
        make_norm = _norms(norm, n_classes, shared_dim, chunk, norm_eps)
        self.shared = ClassEmbedding(n_classes, shared_dim) if n_classes and shared_dim else nn.Identity()
        self.linear = nn.Linear(chunk or z_dim, widths[0] * FIRST_SIDE**2)
        self.blocks = nn.ModuleList(GBlock(before, after, make_norm) for before, after in pairwise(widths))
        places = {FIRST_SIDE * 2**index: width for index, width in enumerate(widths) if index}
        self.add_attention(attn_res, places, pooled=True)
        self.output_layer = nn.Sequential(
            norm(widths[-1], affine=True), nn.ReLU(), nn.Conv2d(widths[-1], output_nc, 3, padding=1)
        )

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """z (N, z_dim), label int64 (N,) or weights of classes, float (N, n_classes) -> (N, output_nc, S, S) in [-1, 1]."""
        check_label(label, self.n_classes, z)
        first, *chunks = z.chunk(len(self.blocks) + 1, dim=1) if self.hierarchical else [z]
        embedding = [] if label is None else [self.shared(label)]
        conditions = [[torch.cat([*embedding, chunk], 1)] for chunk in chunks]
        conditions = conditions or [embedding] * len(self.blocks)
        h = self.linear(first).view(len(z), -1, FIRST_SIDE, FIRST_SIDE)
        for block, condition in zip(self.blocks, conditions, strict=True):
            h = self.attend(block(h, *condition))
        return torch.tanh(self.output_layer(h))

    def spectral_layers(self) -> list[nn.Module]:
        """Every convolution and linear layer, in norms and attention, too, but no embedding."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


class BigGANDiscriminator(AttentionNet):
    """Image and class -> logit; the class enters by projection (Eq. 3 of arXiv:1802.05637).

    Raises:
        ValueError: there is no architecture for this size, or it has no features of a side in `attn_res`.
    """

    def __init__(
        self, *, input_nc: int, ndf: int, size: int, n_classes: int = 0, attn_res: Sequence[int]
    ) -> None:
        super().__init__()
        check_size("BigGAN", size, SIZES)
        factors, halving = D_WIDTHS[size]
        widths = [input_nc, *(ndf * factor for factor in factors)]
        self.blocks = nn.ModuleList(
            DBlock(before, after, first=index == 0, halve=index < halving)
            for index, (before, after) in enumerate(pairwise(widths))
        )
        places = {size // 2 ** (index + 1): widths[index + 1] for index in range(halving)}
        self.add_attention(attn_res, places, pooled=True)
        self.linear = nn.Linear(widths[-1], 1)
        self.n_classes = n_classes
        self.embed = ClassEmbedding(n_classes, widths[-1]) if n_classes else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, input_nc, S, S) in [-1, 1], label int64 (N,) or float (N, n_classes) -> logits (N,)."""
        check_label(label, self.n_classes, x)
        for block in self.blocks:
            x = block(x)
            if block.halve:  # attention follows the first block with its resolution
                x = self.attend(x)
        h = F.relu(x).sum((2, 3))
        logit = self.linear(h).squeeze(1)
        return logit if self.embed is None else logit + (self.embed(label) * h).sum(1)

    def spectral_layers(self) -> list[nn.Module]:
        """Every convolution and linear layer, and the label embedding."""
        kinds = nn.Conv2d | nn.Linear | nn.Embedding
        return [module for module in self.modules() if isinstance(module, kinds)]


def _norms(norm: Norm, n_classes: int, shared_dim: int, chunk: int, eps: float) -> Callable[[int], nn.Module]:
    """Number of channels -> a norm whose gain and bias depend on the label, on a vector, or on neither."""
    length = chunk + (shared_dim if n_classes else 0)

    def make(channels: int) -> nn.Module:
        if not (n_classes or length):
            return norm(channels, affine=True)
        gain, bias = (
            nn.Linear(length, channels, bias=False) if length else ClassEmbedding(n_classes, channels)
            for _ in range(2)
        )
        return ConditionalNorm(channels, norm=norm, gain=gain, bias=bias, eps=eps)

    return make


def _chunk(z_dim: int, chunks: int) -> int:
    if z_dim % chunks:
        fitting = dict.fromkeys([max(1, round(z_dim / chunks)) * chunks, PUBLISHED_CHUNK * chunks])
        raise ValueError(
            f"--hierarchical true splits z into {chunks} equal chunks, which --z_dim {z_dim} does not allow: "
            f"use --z_dim {' or '.join(map(str, fitting))}"
        )
    return z_dim // chunks


register(
    Family(
        "biggan",
        "BigGAN, residual blocks with self-attention, for 32 to 256 pixels",
        generator=BigGANGenerator,
        discriminator=BigGANDiscriminator,
        source="noise",
        sizes=SIZES,
        default_attention=default_attention,
    )
)
