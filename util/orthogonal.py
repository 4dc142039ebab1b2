"""BigGAN's modified orthogonal regularisation (Brock et al. 2019, arXiv:1809.11096, Eq. 3)."""

import torch
from torch import nn


@torch.no_grad()
def add_orthogonal_gradient(net: nn.Module, strength: float) -> None:
    """Add strength * 2 * (W W^T * (1 - I)) W to the gradient of each weight, W as (out, in * k * k).

    It pulls the filters of a layer towards right angles and leaves their lengths free. Embeddings,
    which several layers may share, are left out; so is what has no gradient.
    """
    embeddings = [module for module in net.modules() if isinstance(module, nn.Embedding)]
    out = {id(weight) for embedding in embeddings for weight in embedding.parameters()}
    for weight in net.parameters():
        if weight.ndim < 2 or weight.grad is None or id(weight) in out:
            continue
        rows = weight.flatten(1)
        angles = (rows @ rows.T).fill_diagonal_(0)
        weight.grad.add_((angles @ rows).view_as(weight), alpha=2 * strength)
