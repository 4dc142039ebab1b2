"""DCGAN (Radford et al. 2016, arXiv:1511.06434) as in PyTorch's DCGAN example, with three ways to add a class.

It differs from the paper as that example does: kernels of 4 rather than 5, normal rather than uniform z, and a last
width of 64 rather than 128 at 64 pixels. `ngf` = 128 gives the paper's 1024 channels at 4 x 4.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.nets.conditional import ClassEmbedding, ClassVector, OneHot, check_label, check_size
from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.families import Family, register
from models.nets.layers import Norm, needs_bias

SIZES = (32, 64, 128)  # sides of the images in pixels
CONDITIONS = ("onehot", "embed", "projection")
EMBED_DIM = 50  # length of the learned vector of a class


def widths(width: int, size: int) -> list[int]:
    """Channels from 4 x 4 to half the image's side; widths(64, 64) = [512, 256, 128, 64]."""
    check_size("DCGAN", size, SIZES)
    doublings = size.bit_length() - 3  # from 4 to the side of the image
    return [width * 2**level for level in reversed(range(doublings))]


class DCGANGenerator(SpeedUp):
    """z -> 4 x 4, then doublings to size x size with norm and ReLU; the last layer has tanh instead.

    The class is concatenated to z: [z, one-hot label], or with `cond` embed or projection [z, a learned vector].
    `ngf` is the number of channels next to the image. The keys in `main` are those of PyTorch's example.

    Raises:
        ValueError: there is no architecture for this size.
    """

    likes_channels_last = True

    def __init__(
        self,
        *,
        z_dim: int,
        output_nc: int,
        ngf: int,
        size: int,
        norm: Norm,
        n_classes: int = 0,
        cond: str = "onehot",
    ) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.embed = _class_vector(cond, n_classes)
        layers: list[nn.Module] = []
        below = z_dim + self.embed.embedding_dim
        for channels in widths(ngf, size):
            stride, padding = (2, 1) if layers else (1, 0)
            conv = nn.ConvTranspose2d(below, channels, 4, stride, padding, bias=needs_bias(norm))
            layers += [conv, norm(channels), nn.ReLU(inplace=True)]
            below = channels
        layers += [nn.ConvTranspose2d(below, output_nc, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """z (N, z_dim), label int64 (N,) or float (N, n_classes) -> (N, output_nc, size, size) in [-1, 1]."""
        check_label(label, self.n_classes, z)
        if label is not None:
            z = torch.cat([z, self.embed(label)], 1)
        return self.main(z[:, :, None, None])


class DCGANDiscriminator(SpeedUp):
    """Halvings to 4 x 4 with norm (except the first) and LeakyReLU 0.2, then one logit.

    The class is concatenated to x as constant planes: the one-hot label, or with `cond` embed a learned vector. With
    `cond` projection, <embed(label), sum over space of the last features> is added to the logit (Eq. 3 of
    arXiv:1802.05637). `ndf` is the number of channels next to the image.

    Raises:
        ValueError: there is no architecture for this size.
    """

    likes_channels_last = True

    def __init__(
        self,
        *,
        input_nc: int,
        ndf: int,
        size: int,
        norm: Norm,
        n_classes: int = 0,
        cond: str = "onehot",
    ) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.projects = cond == "projection" and n_classes > 0
        first, *others = reversed(widths(ndf, size))
        last = others[-1]
        self.embed = ClassEmbedding(n_classes, last) if self.projects else _class_vector(cond, n_classes)
        planes = 0 if self.projects else self.embed.embedding_dim
        layers: list[nn.Module] = [nn.Conv2d(input_nc + planes, first, 4, 2, 1, bias=False)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        for above, channels in pairwise((first, *others)):
            conv = nn.Conv2d(above, channels, 4, 2, 1, bias=needs_bias(norm))
            layers += [conv, norm(channels), nn.LeakyReLU(0.2, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(last, 1, 4, bias=False))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, input_nc, size, size) in [-1, 1], label int64 (N,) or float (N, n_classes) -> logits (N,)."""
        check_label(label, self.n_classes, x)
        if label is None:
            return self.main(x).view(len(x))
        vector = self.embed(label)
        if not self.projects:
            planes = vector[:, :, None, None].expand(-1, -1, *x.shape[2:])
            return self.main(torch.cat([x, planes], 1)).view(len(x))
        features = self.main[:-1](x)
        return self.main[-1](features).view(len(x)) + (vector * features.sum((2, 3))).sum(1)


def _class_vector(cond: str, n_classes: int) -> OneHot | ClassVector:
    assert cond in CONDITIONS, cond
    return OneHot(n_classes) if cond == "onehot" or not n_classes else ClassVector(n_classes, EMBED_DIM)


register(
    Family(
        "dcgan",
        "DCGAN, transposed convolutions, for 32, 64 and 128 pixels",
        generator=DCGANGenerator,
        discriminator=DCGANDiscriminator,
        source="noise",
        sizes=SIZES,
    )
)
