"""Learning-rate policies: factors of the initial learning rate as functions of the epoch."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Schedule:
    """The learning-rate factor of each epoch, counted from 1.

    It depends on the epoch alone, except for `plateau`, which multiplies it by 0.2 when the mean generator loss
    has not fallen 1 % below its minimum for more than `patience` epochs.
    """

    policy: str
    n_epochs: int
    n_epochs_decay: int
    decay_iters: int = 50  # in epochs; upstream's flag is called --lr_decay_iters
    patience: int = 5
    best: float = math.inf
    bad_epochs: int = 0
    reduction: float = 1.0
    _sum: float = 0.0
    _count: int = 0

    def factor(self, epoch: int) -> float:
        return self.reduction * POLICIES[self.policy](self, epoch)

    @property
    def watches(self) -> bool:
        """Whether the policy needs observe() at every step."""
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
        if state.keys() != self.state_dict().keys() or {type(value) for value in state.values()} - {
            int,
            float,
        }:
            raise ValueError("the state of the learning rate does not consist of its numbers")
        vars(self).update(state)


def linear(schedule: Schedule, epoch: int) -> float:
    """1 for `n_epochs`, then equal steps that would reach 0 in the epoch after the last one."""
    return 1.0 - max(0, epoch - schedule.n_epochs) / (schedule.n_epochs_decay + 1)


def step(schedule: Schedule, epoch: int) -> float:
    """Multiplied by 0.1 after every `decay_iters` epochs."""
    return 0.1 ** ((epoch - 1) // schedule.decay_iters)


def cosine(schedule: Schedule, epoch: int) -> float:
    """Half a cosine over the whole run: SGDR without restarts (arXiv:1608.03983, Eq. 5)."""
    total = schedule.n_epochs + schedule.n_epochs_decay
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (epoch - 1) / total)))


POLICIES: dict[str, Callable[[Schedule, int], float]] = {
    "linear": linear,
    "step": step,
    "plateau": lambda schedule, epoch: 1.0,  # Schedule.end_epoch reduces it
    "cosine": cosine,
    "constant": lambda schedule, epoch: 1.0,
}
