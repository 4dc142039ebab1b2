"""What each phase of a step learns from, for tests that compare gradients."""

from collections.abc import Iterable

import torch
from torch import Tensor

from models.base_model import BaseModel, Batch, Phase
from models.training.penalties import DiscriminatorLoss

STILL = ("--lr_G", 1e-30, "--lr_D", 1e-30)  # weights stay as they are, so that phases can be compared


def gradients_of_phases(model: BaseModel, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """Name of a phase -> the gradients of its networks, as one vector, in a step that begins with `seed`."""
    found: dict[str, Tensor] = {}
    update = model._update

    def record(phase: Phase) -> None:
        found[phase.name] = _flat(phase.parameters, [parameter.grad for parameter in phase.parameters])
        update(phase)

    model._update = record  # type: ignore[method-assign]
    torch.manual_seed(seed)
    model.optimize_parameters(batch)
    return found


def gradient(loss: Tensor, model: BaseModel, nets: Iterable[str]) -> Tensor:
    """d loss / d weights of some networks, as one vector."""
    parameters = [parameter for name in nets for parameter in model.nets[name].parameters()]
    return _flat(parameters, torch.autograd.grad(loss, parameters, allow_unused=True))


def discriminator_loss(model: BaseModel) -> DiscriminatorLoss:
    """What the phase D of a model computes its terms with; all networks are left trainable."""
    model.nets.requires_grad_(True)
    loss = next(phase.terms.__self__ for phase in model.phases if phase.name == "D")
    assert isinstance(loss, DiscriminatorLoss)
    return loss


def _flat(parameters: Iterable[Tensor], gradients: Iterable[Tensor | None]) -> Tensor:
    pairs = zip(parameters, gradients, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs]).detach()
