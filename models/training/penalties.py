"""What a discriminator minimises: its adversarial loss, the gradient penalty and the R1 penalty."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.training.step import Terms
from util.compiling import eager_call
from util.errors import UserError

# (discriminator, real images, fake images, their labels or None) -> the terms that the discriminator minimises
AdversarialLoss = Callable[[nn.Module, Tensor, Tensor, Tensor | None], Terms]
Inputs = Callable[[], dict[str, Tensor]]  # name of a discriminator -> the images (N, C, H, W) that it judges


@dataclass(frozen=True)
class DiscriminatorLoss:
    """The terms of discriminators on one batch; see BaseModel.add_discriminator_phase."""

    nets: dict[str, nn.Module]
    adversarial: AdversarialLoss
    real: Inputs
    fake: Inputs
    label: Callable[[], Tensor | None]
    lambda_gp: float
    r1_gamma: float
    # None: every part of the loss is a term; else each discriminator has one term, sum_weight * the sum of its parts
    sum_weight: float | None

    def terms(self) -> Terms:
        """adversarial loss + lambda_gp * gradient penalty, as in Eq. 3 of arXiv:1704.00028."""
        real, fake, label = self.real(), self.fake(), self.label()
        terms: Terms = {}
        for name, net in self.nets.items():
            on_fake = fake[name].detach()
            parts = self.adversarial(net, real[name], on_fake, label)
            if self.lambda_gp > 0:
                parts["gp"] = self.lambda_gp * gradient_penalty(net, real[name], on_fake, label)
            if self.sum_weight is None:
                terms |= {f"{name}_{part}": term for part, term in parts.items()}
            else:
                terms[name] = self.sum_weight * torch.stack([*parts.values()]).sum()
        return terms

    def r1_terms(self) -> Terms:
        """r1_gamma * R1, as in Eq. 9 of arXiv:1801.04406; it needs real images only."""
        real, label = self.real(), self.label()
        weight = self.r1_gamma if self.sum_weight is None else self.sum_weight * self.r1_gamma
        return {f"{name}_r1": weight * r1_penalty(net, real[name], label) for name, net in self.nets.items()}


def gradient_penalty(net: nn.Module, real: Tensor, fake: Tensor, label: Tensor | None = None) -> Tensor:
    """E[(|grad D(x)| - 1)^2] at random points x between real and fake images (Eq. 3 of arXiv:1704.00028).

    real, fake (N, C, H, W), label (N,) -> scalar. The logits of patches are summed over the image first.

    Raises:
        UserError: real and fake images differ in size.
    """
    if real.shape != fake.shape:
        raise UserError(
            "the gradient penalty needs real and fake images of the same (height, width), not "
            f"{tuple(real.shape[2:])} and {tuple(fake.shape[2:])}: use --preprocess resize_and_crop, or leave out "
            "--gan_mode wgangp and --lambda_gp"
        )
    share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    gradient = _input_gradient(net, share * real + (1 - share) * fake, label)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def r1_penalty(net: nn.Module, real: Tensor, label: Tensor | None = None) -> Tensor:
    """E[|grad D(x)|^2] / 2 at real images x (Eq. 9 of arXiv:1801.04406, Mescheder et al. 2018).

    real (N, C, H, W), label (N,) -> scalar.
    """
    return 0.5 * _input_gradient(net, real, label).flatten(1).square().sum(1).mean()


def _input_gradient(net: nn.Module, points: Tensor, label: Tensor | None) -> Tensor:
    points = points.detach().requires_grad_(True)
    labels = () if label is None else (label,)
    # fused attention kernels and compiled nets have no second derivative
    with eager_call(net), sdpa_kernel(SDPBackend.MATH), torch.autocast(points.device.type, enabled=False):
        logits = net(points, *labels)
        (gradient,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    return gradient
