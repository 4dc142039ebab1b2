"""What makes a net depend on a class: vectors that also take mixtures of classes, and norms with a gain and bias a class."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.layers import Norm


class ClassEmbedding(nn.Embedding):
    """A vector a class; a mixture of classes gives the mixture of their vectors."""

    def forward(self, label: Tensor) -> Tensor:
        """label int64 (N,), or weights of the classes, float (N, n_classes) -> (N, embedding_dim)."""
        return label @ self.weight if label.is_floating_point() else F.embedding(label, self.weight)


class ClassVector(ClassEmbedding):
    """A learned vector a class that stands beside noise: N(0, 1) at the start, as the noise is, whatever --init_type."""

    keeps_initial_weights = True


class OneHot(nn.Module):
    """A class as a vector with one 1, so that each has a direction of its own; mixtures are vectors already.

    `embedding_dim` is the length, as a ClassEmbedding calls it; 0 where there are no classes.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.embedding_dim = n_classes

    def forward(self, label: Tensor) -> Tensor:
        """label int64 (N,), or weights of the classes, float (N, n_classes) -> float (N, n_classes)."""
        return label if label.is_floating_point() else F.one_hot(label, self.embedding_dim).float()


def check_label(label: Tensor | None, n_classes: int, x: Tensor) -> None:
    """A label goes with every x where there are classes, and with none where there are no classes."""
    given = None if label is None else tuple(label.shape)
    fitting = [(len(x),), (len(x), n_classes)] if n_classes else [None]
    assert given in fitting, f"label {given} with an input {tuple(x.shape)} of a net with {n_classes} classes"


class ConditionalNorm(nn.Module):
    """A norm without weights of its own, then x * (1 + gain(c)) + bias(c) (Dumoulin et al. 2017, arXiv:1610.07629).

    `gain` and `bias` make (N, channels) of a condition c: a ClassEmbedding of labels, or a linear layer
    of a vector (class-conditional batch norm of SAGAN and BigGAN).
    """

    def __init__(self, channels: int, *, norm: Norm, gain: nn.Module, bias: nn.Module) -> None:
        super().__init__()
        self.norm = norm(channels, affine=False)
        self.gain, self.bias = gain, bias

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (N, channels, H, W), condition (N,) or (N, D) -> (N, channels, H, W)."""
        gain, bias = self.gain(condition), self.bias(condition)
        return self.norm(x) * (1 + gain[:, :, None, None]) + bias[:, :, None, None]
