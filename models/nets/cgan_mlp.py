"""The networks of the conditional-GAN paper (Mirza and Osindero 2014, arXiv:1411.1784), for images of any size.

Differences from section 4.1 of the paper: images are in [-1, 1] from tanh, not in [0, 1] from a sigmoid, and z is
normal, not uniform. The paper has dropout of 0.5 in both nets without naming the layers: here it comes before the
joint layer, on the hidden units of image or noise and of the class.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.conditional import OneHot, check_label
from models.nets.families import Family, register

DROPOUT = 0.5


class Maxout(nn.Linear):
    """Each unit is the maximum of `pieces` linear functions (Goodfellow et al. 2013, arXiv:1302.4389)."""

    def __init__(self, features: int, units: int, pieces: int) -> None:
        super().__init__(features, units * pieces)
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) -> (N, units)."""
        return super().forward(x).view(len(x), self.units, -1).amax(2)


class MLPGenerator(nn.Module):
    """z -> 200 units, label -> 1000 units, both -> 1200 units, all with ReLU, then pixels with tanh."""

    def __init__(self, *, z_dim: int, output_nc: int, size: int, n_classes: int) -> None:
        super().__init__()
        self.n_classes, self.shape = n_classes, (output_nc, size, size)
        self.onehot = OneHot(n_classes)
        self.from_z = nn.Linear(z_dim, 200)
        self.from_label = nn.Linear(n_classes, 1000)
        self.dropout = nn.Dropout(DROPOUT)
        self.joint = nn.Linear(1200, 1200)
        self.last = nn.Linear(1200, output_nc * size * size)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """z (N, z_dim), label int64 (N,) or float (N, n_classes) -> (N, output_nc, size, size) in [-1, 1]."""
        check_label(label, self.n_classes, z)
        hidden = torch.cat([self.from_z(z), self.from_label(self.onehot(label))], 1)
        joint = F.relu(self.joint(self.dropout(F.relu(hidden))))
        return self.last(joint).tanh().view(-1, *self.shape)


class MLPDiscriminator(nn.Module):
    """Image -> 240 units of 5 pieces, label -> 50 of 5, both -> 240 of 4, all maxout, then one logit."""

    def __init__(self, *, input_nc: int, size: int, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.onehot = OneHot(n_classes)
        self.from_image = Maxout(input_nc * size * size, units=240, pieces=5)
        self.from_label = Maxout(n_classes, units=50, pieces=5)
        self.dropout = nn.Dropout(DROPOUT)
        self.joint = Maxout(240 + 50, units=240, pieces=4)
        self.last = nn.Linear(240, 1)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """x (N, input_nc, size, size) in [-1, 1], label int64 (N,) or float (N, n_classes) -> logits (N,)."""
        check_label(label, self.n_classes, x)
        hidden = torch.cat([self.from_image(x.flatten(1)), self.from_label(self.onehot(label))], 1)
        return self.last(self.joint(self.dropout(hidden))).squeeze(1)


register(
    Family(
        "cgan_mlp",
        "linear layers of the conditional-GAN paper, for images of any size",
        generator=MLPGenerator,
        discriminator=MLPDiscriminator,
        source="noise",
    )
)
