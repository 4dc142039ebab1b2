"""The learning rate as a factor of the epoch: linear, step, cosine, plateau or constant."""

import math
from collections.abc import Callable
from dataclasses import dataclass


def linear(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    """1 for `n_epochs`, then down in equal steps; the last epoch still learns, 0 would come after it."""
    return 1.0 - max(0, epoch - n_epochs) / (n_epochs_decay + 1)


def step(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    """A tenth after every `decay_iters` epochs."""
    return 0.1 ** ((epoch - 1) // decay_iters)


def cosine(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    """Half a cosine over the whole run, SGDR without restarts (arXiv:1608.03983, Eq. 5)."""
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (epoch - 1) / (n_epochs + n_epochs_decay))))


def constant(epoch: int, n_epochs: int, n_epochs_decay: int, decay_iters: int) -> float:
    return 1.0


POLICIES: dict[str, Callable[[int, int, int, int], float]] = {
    "linear": linear,
    "step": step,
    "plateau": constant,  # times what Schedule.end_epoch has taken off
    "cosine": cosine,
    "constant": constant,
}


@dataclass
class Schedule:
    """A pure function of the epoch (counted from 1), but for `plateau`, which remembers.

    plateau: the rate falls to a fifth when the epoch's mean generator loss has not gone 1 % below
    its best for more than `patience` epochs.
    """

    policy: str
    n_epochs: int
    n_epochs_decay: int
    decay_iters: int = 50  # epochs, despite the name of its flag
    patience: int = 5
    best: float = math.inf
    bad_epochs: int = 0
    reduction: float = 1.0
    _sum: float = 0.0
    _count: int = 0

    def factor(self, epoch: int) -> float:
        return self.reduction * POLICIES[self.policy](
            epoch, self.n_epochs, self.n_epochs_decay, self.decay_iters
        )

    @property
    def watches(self) -> bool:
        """Whether `observe` has to be told the loss of every step."""
        return self.policy == "plateau"

    def observe(self, loss: float) -> None:
        self._sum += loss
        self._count += 1

    def end_epoch(self) -> None:
        if not self.watches or not self._count:
            return
        mean = self._sum / self._count
        self._sum, self._count = 0.0, 0
        if mean < self.best - 0.01 * abs(self.best) or math.isinf(self.best):
            self.best, self.bad_epochs = mean, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > self.patience:
            self.reduction, self.bad_epochs = 0.2 * self.reduction, 0

    def state_dict(self) -> dict[str, float]:
        names = ("best", "bad_epochs", "reduction", "_sum", "_count")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, float]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
