"""What makes a net depend on a class: an embedding that also takes mixtures, and norms with a gain and bias a class."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.layers import Norm


class ClassEmbedding(nn.Embedding):
    """A vector a class; a mixture of classes gives the mixture of their vectors."""

    def forward(self, label: Tensor) -> Tensor:
        """label int64 (N,), or weights of the classes, float (N, n_classes) -> (N, embedding_dim)."""
        return label @ self.weight if label.is_floating_point() else F.embedding(label, self.weight)


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
