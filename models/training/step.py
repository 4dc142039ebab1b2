"""The training step: the phases that are due run one after the other on one batch."""

from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.training.ema import EMA
from models.training.execution import Execution
from models.training.orthogonal_regularisation import add_orthogonal_gradient
from models.training.plugin_checks import check_gradient, check_range, check_terms
from util import distributed
from util.errors import RunFault, UserError
from util.power_iteration import before_update

Batch = dict[str, Tensor | list[str]]
Terms = dict[str, Tensor]

GENERATOR, DISCRIMINATOR = "generator", "discriminator"  # the roles of networks that flags refer to
CHECK_EVERY = 100  # steps between checks of the losses on GPUs, where each check waits for the device


@dataclass(frozen=True)
class Phase:
    """One optimizer update: minimise scale * sum(terms()) over the weights of `nets`.

    It runs in the steps `offset`, `offset + every`, `offset + 2 * every`, ..., which are counted from 0.
    """

    name: str
    role: str  # of the networks that learn
    nets: tuple[str, ...]
    terms: Callable[[], Terms]
    optimizer: torch.optim.Optimizer
    every: int
    scale: float
    offset: int = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


class TrainingStep:
    """Runs phases over named networks; BaseModel adds the contract with plugins and the saved files."""

    shares_forward = True  # whether one forward pass on the whole batch serves all phases of a step
    set_input: Callable[[Batch], None]  # written by the plugin
    forward: Callable[[], None]

    def __init__(self, opt: Namespace) -> None:
        self.opt = opt
        self.is_train: bool = opt.isTrain
        self.device = distributed.pick_device(opt.device, opt.gpu_ids)
        self.nets = nn.ModuleDict()
        self.roles: dict[str, str] = {}  # name of a net -> "generator", "discriminator" or another word
        self.phases: list[Phase] = []
        self.ema = EMA(opt.ema_decay, opt.ema_start) if self.is_train else EMA(0.0)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=opt.amp == "fp16" and self.is_train)
        self.steps = 0
        self.execution = Execution(
            self.device,
            amp=opt.amp,
            compiled=opt.compile,
            fast=opt.fast == "auto",
            static=self.is_train and opt.image_side is not None,
        )
        self._range_checked = False
        self._terms: dict[str, Terms] = {}  # phase -> its terms in the last step that ran it

    def optimize_parameters(self, batch: Batch) -> None:
        """One training step: run every phase that is due on this batch.

        Raises:
            RunFault: a loss is not a finite number. On a CPU every term is checked before it changes a weight;
                on a GPU terms are checked every hundredth step and before each save.
        """
        self.execution.begin_step(phase.optimizer for phase in self.phases)
        due = [phase for phase in self.phases if self.steps % phase.every == phase.offset]
        learners = dict.fromkeys(net for phase in due for net in phase.nets)
        by_role = {GENERATOR: self.opt.accumulate_G, DISCRIMINATOR: self.opt.accumulate_D}
        counts = [by_role.get(phase.role) or self.opt.accumulate for phase in due]
        shared = self.shares_forward and set(counts) <= {1}
        for name in learners:
            before_update(self.nets[name])
        if shared:
            self._forward(batch, learners)
        for phase, count in zip(due, counts, strict=True):
            phase.optimizer.zero_grad(set_to_none=True)
            self._terms[phase.name] = {}
            for part in _split(batch, count):
                if not shared:
                    self._forward(part, phase.nets)
                self._backward(phase, share=1 / count)
            self._update(phase)
        if any(name in self.ema.shadows for name in learners):
            self.ema.update(self.nets)
        self.steps += 1

    def _forward(self, batch: Batch, learners: Iterable[str]) -> None:
        self._train_only(learners)
        with self.execution.autocast_context():
            self._read_batch(batch)
            self.forward()

    def _backward(self, phase: Phase, share: float) -> None:
        """Add the gradient of share * scale * (the sum of the phase's terms), and log share * terms."""
        self._train_only(phase.nets)
        with self.execution.autocast_context():
            terms = phase.terms()
        check_terms(phase.name, terms)
        sums = self._terms[phase.name]
        for name, term in terms.items():
            sums[name] = sums.get(name, torch.zeros_like(term.detach())) + share * term.detach()
        if self.device.type == "cpu" or self.steps % CHECK_EVERY == 0:
            self.check_finite()
        full = [term if term.dtype == torch.float64 else term.float() for term in terms.values()]
        loss = share * phase.scale * torch.stack(full).sum()
        check_gradient(phase.name, loss, phase.nets)
        self.scaler.scale(loss).backward()

    def _update(self, phase: Phase) -> None:
        distributed.average_gradients(phase.parameters)
        strengths = self._orthogonal_strengths(phase)
        if self.opt.clip_grad > 0 or strengths:
            self.scaler.unscale_(phase.optimizer)
        for name, strength in strengths.items():
            add_orthogonal_gradient(self.nets[name], strength)
        if self.opt.clip_grad > 0:
            nn.utils.clip_grad_norm_(phase.parameters, self.opt.clip_grad)
        self.scaler.step(phase.optimizer)
        self.scaler.update()

    def _train_only(self, names: Iterable[str]) -> None:
        """Freeze all other nets. `--fast off` leaves them trainable: their gradients are computed and discarded."""
        if not self.execution.fast:
            names = (name for phase in self.phases for name in phase.nets)
        names = set(names)
        for name, net in self.nets.items():
            net.requires_grad_(name in names)

    def _read_batch(self, batch: Batch) -> None:
        if not self._range_checked:  # once, because it waits for the device
            check_range(batch, self.opt.dataset_mode)
            self._range_checked = True
        try:
            self.set_input(batch)
        except KeyError as error:
            if error.args[0] in batch:
                raise
            raise UserError(
                f"--model {self.opt.model} needs {error} in each item, but --dataset_mode "
                f"{self.opt.dataset_mode} gives {', '.join(batch)}: choose another --dataset_mode"
            ) from error

    def _orthogonal_strengths(self, phase: Phase) -> dict[str, float]:
        """Net -> --ortho_G or --ortho_D if it applies: once a step, in the first phase of each optimizer."""
        earlier = self.phases[: self.phases.index(phase)]
        if any(phase.optimizer is other.optimizer for other in earlier):
            return {}
        by_role = {GENERATOR: self.opt.ortho_G, DISCRIMINATOR: self.opt.ortho_D}
        return {name: by_role[role] for name in phase.nets if by_role.get(role := self.roles.get(name, ""))}

    def check_finite(self) -> None:
        """Raise RunFault on all processes if a term of the last step is not finite on any; all must call it."""
        bad = [name for name, term in self._last_terms().items() if not torch.isfinite(term)]
        if distributed.any_rank(bool(bad)):
            raise RunFault(
                f"the loss {', '.join(bad) or 'of another process'} is not a finite number at step {self.steps + 1}; "
                "the last saved state is intact: resume from it with --continue_train and a lower --lr, with "
                "--clip_grad 1, or without --amp"
            )

    def generator_loss(self) -> float:
        """The sum of the last terms of the generators' phases, which `--lr_policy plateau` watches.

        If no network has that role, it is the sum over all phases but those of discriminators.
        """
        generators = [phase for phase in self.phases if phase.role == GENERATOR]
        phases = generators or [phase for phase in self.phases if phase.role != DISCRIMINATOR]
        terms = [term for phase in phases for term in self._terms.get(phase.name, {}).values()]
        return distributed.mean({"G": sum(term.item() for term in terms)})["G"]

    def update_learning_rate(self, factor: float) -> None:
        """Set the rate of every optimizer to `factor` times its initial one."""
        for phase in self.phases:
            for group in phase.optimizer.param_groups:
                group["lr"] = factor * phase.optimizer.defaults["lr"]

    def learning_rates(self) -> dict[str, float]:
        """Phase -> the present rate of its optimizer."""
        return {phase.name: phase.optimizer.param_groups[0]["lr"] for phase in self.phases}

    def _load_progress(self, terms: dict[str, Terms], steps: int) -> None:
        """Take over the terms of each phase and the number of steps; raises ValueError if they cannot be that."""
        values = [value for phase in terms.values() for value in phase.values()]
        if not all(isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta for value in values):
            raise ValueError("the saved loss terms are not numbers")
        if type(steps) is not int or steps < 0:
            raise ValueError(f"{steps} is not a number of steps")
        self._terms, self.steps = terms, steps

    def _last_terms(self) -> Terms:
        return {name: term for terms in self._terms.values() for name, term in terms.items()}


def _split(batch: Batch, parts: int) -> list[Batch]:
    """Cut every entry of a batch into `parts` equal pieces along its first axis."""
    size = len(next(iter(batch.values())))
    assert size % parts == 0, (size, parts)
    step = size // parts
    return [{key: value[i : i + step] for key, value in batch.items()} for i in range(0, size, step)]
