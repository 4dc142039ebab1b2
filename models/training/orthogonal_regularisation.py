"""BigGAN's modified orthogonal regularisation (Brock et al. 2019, arXiv:1809.11096, Eq. 3)."""

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized


@torch.no_grad()
def add_orthogonal_gradient(net: nn.Module, strength: float) -> None:
    """Add strength * 2 * (W W^T * (1 - I)) W to the gradient of each layer's weight, W as (out, in * k * k).

    It pulls the filters of a layer towards right angles and leaves their lengths free. Embeddings,
    which several layers may share, are left out; so is what has no gradient.
    """
    for layer in net.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        raw = "parametrizations.weight.original" if is_parametrized(layer, "weight") else "weight"
        weight = layer.get_parameter(raw)
        if weight.grad is None:
            continue
        out_first = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
        rows = out_first.flatten(1)
        pull = ((rows @ rows.T).fill_diagonal_(0) @ rows).view_as(out_first)
        out_grad = weight.grad.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight.grad
        out_grad.add_(pull, alpha=2 * strength)
