"""Parts of the nets that start from noise: checks of their inputs, class embeddings and conditional norms."""

from collections.abc import Collection

import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.layers import Norm


class ClassEmbedding(nn.Embedding):
    """A learned vector for each class; weights of classes give the weighted sum of the vectors."""

    def forward(self, label: Tensor) -> Tensor:
        """label int64 (N,), or weights of the classes, float (N, n_classes) -> (N, embedding_dim)."""
        return label @ self.weight if label.is_floating_point() else F.embedding(label, self.weight)


class ClassVector(ClassEmbedding):
    """A class embedding that is concatenated to noise, so it starts as N(0, 1) with every --init_type."""

    keeps_initial_weights = True


class OneHot(nn.Module):
    """A class as a one-hot vector of length `embedding_dim`, 0 without classes; weights of classes stay as they are."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.embedding_dim = n_classes

    def forward(self, label: Tensor) -> Tensor:
        """label int64 (N,), or weights of the classes, float (N, n_classes) -> float (N, n_classes)."""
        return label if label.is_floating_point() else F.one_hot(label, self.embedding_dim).float()


def check_size(net: str, size: int, sizes: Collection[int]) -> None:
    """Raise ValueError if a net has no architecture for images of `size` pixels."""
    if size not in sizes:
        raise ValueError(f"{net} has no architecture for {size} pixels: use {', '.join(map(str, sizes))}")


def check_label(label: Tensor | None, n_classes: int, x: Tensor) -> None:
    """Assert that there is a label for each item of x, or no label if the net has no classes."""
    shape = None if label is None else tuple(label.shape)
    expected = [(len(x),), (len(x), n_classes)] if n_classes else [None]
    assert shape in expected, (
        f"label {shape} with an input {tuple(x.shape)} of a net with {n_classes} classes"
    )


class ConditionalNorm(nn.Module):
    """norm(x) * (1 + gain(c)) + bias(c), with a norm that has no weights (Dumoulin et al. 2017, arXiv:1610.07629).

    `gain` and `bias` map a condition c to (N, channels): a ClassEmbedding of labels, or a linear layer of a
    vector. This is the class-conditional batch norm of SAGAN and BigGAN.
    """

    def __init__(
        self, channels: int, *, norm: Norm, gain: nn.Module, bias: nn.Module, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.norm = norm(channels, affine=False, eps=eps)
        self.gain, self.bias = gain, bias

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (N, channels, H, W), condition (N,) or (N, D) -> (N, channels, H, W)."""
        gain, bias = self.gain(condition), self.bias(condition)
        return self.norm(x) * (1 + gain[:, :, None, None]) + bias[:, :, None, None]
