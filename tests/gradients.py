"""What each phase of a step learns from: used by tests that compare gradients."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.base_model import BaseModel, Batch, Phase

STILL = ("--lr_G", 1e-30, "--lr_D", 1e-30)  # weights stay, so that phases can be compared


def flat(gradients: list[Tensor | None]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]).clone()


def gradients_of_phases(model: BaseModel, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """Name of a phase -> the gradients of its networks, in one vector, in a step under `seed`."""
    found: dict[str, Tensor] = {}
    update = model._update

    def record(phase: Phase) -> None:
        found[phase.name] = flat([parameter.grad for parameter in phase.parameters])
        update(phase)

    model._update = record  # type: ignore[method-assign]
    torch.manual_seed(seed)
    model.optimize_parameters(batch)
    return found


def gradient_of(loss: Callable[[nn.Module], Tensor], *nets: nn.Module) -> Tensor:
    """d loss / d weights of each net, in one vector, for a loss of one net."""
    return torch.cat(
        [flat(torch.autograd.grad(loss(net), list(net.parameters()), allow_unused=True)) for net in nets]
    )
