"""BigGAN's modified orthogonal regularisation (Brock et al. 2019, arXiv:1809.11096, Eq. 3)."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized


@torch.no_grad()
def add_orthogonal_gradient(net: nn.Module, strength: float) -> None:
    """Add strength * 2 * (W W^T * (1 - I)) W to the gradient of each layer's weight W, shaped (out, in * k * k).

    It makes the filters of a layer more orthogonal and does not constrain their norms. Embeddings, which several
    layers may share, and weights without a gradient are left out.
    """
    for layer in net.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        name = "parametrizations.weight.original" if is_parametrized(layer, "weight") else "weight"
        weight: Tensor = layer.get_parameter(name)
        gradient = weight.grad
        if gradient is None:
            continue
        if isinstance(layer, nn.ConvTranspose2d):  # stored as (in, out, k, k)
            weight, gradient = weight.transpose(0, 1), gradient.transpose(0, 1)
        rows = weight.flatten(1)
        pull = ((rows @ rows.T).fill_diagonal_(0) @ rows).view_as(weight)
        gradient.add_(pull, alpha=2 * strength)
