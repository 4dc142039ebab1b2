"""Adversarial losses, on logits."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from models.nets.layers import batched_forward, full_precision
from models.training.penalties import gradient_penalty

Elementwise = Callable[[Tensor], Tensor]

# name -> (loss of D on real logits, loss of D on fake logits, loss of G on fake logits), per logit
OBJECTIVES: dict[str, tuple[Elementwise, Elementwise, Elementwise]] = {
    # non-saturating, Eq. 1 and section 3 of arXiv:1406.2661 (Goodfellow et al. 2014); softplus(-x) = -log sigmoid(x)
    "vanilla": (lambda x: F.softplus(-x), F.softplus, lambda x: F.softplus(-x)),
    # Eq. 9 of arXiv:1611.04076 (Mao et al. 2017), without its factors of 1/2
    "lsgan": (lambda x: (x - 1) ** 2, lambda x: x**2, lambda x: (x - 1) ** 2),
    # Eq. 16 and 17 of arXiv:1802.05957 (Miyato et al. 2018), after arXiv:1705.02894 (Lim and Ye 2017)
    "hinge": (lambda x: F.relu(1 - x), lambda x: F.relu(1 + x), lambda x: -x),
    # Eq. 3 of arXiv:1704.00028 (Gulrajani et al. 2017), without its last term, which gradient_penalty() is
    "wgangp": (lambda x: -x, lambda x: x, lambda x: -x),
}


class GANLoss(nn.Module):
    """An adversarial objective by name; logits have any shape, losses are scalars.

    The loss is the mean over all logits, so that a PatchGAN judges every patch.

    With `split`, a discriminator judges real and fake images in two passes instead of as one batch.
    `lambda_gp` is for plugins that do not use BaseModel.add_discriminator_phase, which adds the gradient penalty.
    `GANLoss(mode)(logits, target_is_real)` is upstream's call. It is not defined for hinge, where the generator
    minimises another function than the discriminator does on real images.

    Raises:
        ValueError: unknown name.
    """

    def __init__(self, gan_mode: str, *, lambda_gp: float | None = None, split: bool = False) -> None:
        super().__init__()
        if gan_mode not in OBJECTIVES:
            raise ValueError(f"unknown GAN objective {gan_mode!r}; known: {', '.join(OBJECTIVES)}")
        self.gan_mode, self.split = gan_mode, split
        self.lambda_gp = lambda_gp or 0.0
        self._real, self._fake, self._generator = OBJECTIVES[gan_mode]

    def real(self, logits: Tensor) -> Tensor:
        """Loss of the discriminator on real images."""
        return self._real(full_precision(logits)).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Loss of the discriminator on generated images."""
        return self._fake(full_precision(logits)).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Loss of the generator, from the logits of its images."""
        return self._generator(full_precision(logits)).mean()

    def discriminator(
        self, net: nn.Module, real: Tensor, fake: Tensor, label: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The terms of a discriminator on images (N, C, H, W) with the same labels (N,).

        They are `real`, `fake` and, if `lambda_gp` was given, `gp`.
        """
        fake = fake.detach()
        on_real, on_fake = batched_forward(net, real, fake, label=label, split=self.split)
        terms = {"real": self.real(on_real), "fake": self.fake(on_fake)}
        if self.lambda_gp > 0:
            terms["gp"] = self.lambda_gp * gradient_penalty(net, real, fake, label)
        return terms

    def forward(self, logits: Tensor, target_is_real: bool) -> Tensor:
        if self.gan_mode == "hinge":
            raise ValueError("hinge has different losses for G and D: call .real, .fake or .generator")
        return self.real(logits) if target_is_real else self.fake(logits)
