"""The contract between a GAN plugin and the training loop."""

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from models.training.diffaug import DiffAugment
from models.training.ema import EMA
from models.training.execution import Execution
from models.training.fused_adam import adam
from models.training.orthogonal_regularisation import add_orthogonal_gradient
from util import distributed, log
from util.compiling import eager_call
from util.errors import RunFault, UserError
from util.power_iteration import before_update
from util.run import checkpoint, weights

Batch = dict[str, Tensor | list[str]]
Terms = dict[str, Tensor]
GUARD_EVERY = 100  # steps between looks at the losses on devices where a look costs a wait


@dataclass(frozen=True)
class Phase:
    """One optimizer update: which nets learn, from which loss terms, every how many steps."""

    name: str
    nets: tuple[str, ...]
    terms: Callable[[], Terms]
    optimizer: torch.optim.Optimizer
    every: int
    scale: float

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


class BaseModel(ABC):
    """Named nets, the phases that train them, and the images they show.

    A plugin writes __init__ (add_net, add_phase, add_state), set_input, forward, visuals, and one
    method a phase that returns its named loss terms; their sum is what the phase minimises. Devices,
    precision, accumulation, ranks, averaging, freezing, clipping and files are this class's business.

    One step shares a forward() between its phases, in the order they were added. With
    `--accumulate` k the batch is cut into k parts and each phase runs forward() on them anew, which
    equals the large batch where the discriminator learns first; where the generator does
    (CycleGAN), the discriminator then sees fakes of the generator as just updated.
    """

    loss_names: tuple[str, ...] = ()  # the order in which losses are shown
    test_dataset: str | None = None  # the data set that test.py feeds it with; None = the run's own

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the plugin's own flags and change defaults."""
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        """Raise UserError for options that cannot work; called before anything is built."""

    def __init__(self, opt: Namespace) -> None:
        self.opt = opt
        self.is_train: bool = opt.isTrain
        self.device = distributed.pick_device(opt.device, opt.gpu_ids)
        self.save_dir = Path(opt.checkpoints_dir) / opt.name
        self.nets = nn.ModuleDict()
        self.phases: list[Phase] = []
        self.local_state = checkpoint.StateBag()  # what differs between ranks
        self.ema = EMA(opt.ema_decay if self.is_train else 0.0)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=opt.amp == "fp16" and self.is_train)
        self.steps = 0
        self.execution = Execution(
            self.device,
            amp=opt.amp,
            compiled=opt.compile,
            fast=opt.fast == "auto",
            static=self.is_train and opt.image_side is not None,
        )
        self._terms: dict[str, Terms] = {}  # phase -> its terms when it last learned

    # ------------------------------------------------------------------ written by the plugin

    @abstractmethod
    def set_input(self, batch: Batch) -> None:
        """Unpack one batch from the data set into attributes on self.device."""

    @abstractmethod
    def forward(self) -> None:
        """Compute the fakes from the inputs, as attributes."""

    @abstractmethod
    def visuals(self) -> dict[str, Tensor]:
        """Label -> images (N, C, H, W) in [-1, 1], of the last forward()."""

    def scalars(self) -> dict[str, Tensor]:
        """Further numbers to log beside the loss terms, name -> scalar."""
        return {}

    # ------------------------------------------------------------------ called by the plugin

    def add_net(self, name: str, net: nn.Module, *, ema: bool = False) -> nn.Module:
        """Own `net` under `name`: placed, shared, compiled, averaged and saved from now on.

        A discriminator is known by its name, which begins with D: --diffaug and --ortho_D are for it.
        """
        net = net.to(self.device)
        distributed.broadcast([*net.parameters(), *net.buffers()])
        self.execution.speed_up(net)
        if ema:
            self.ema.track(name, net)
        if self.is_train and self.opt.diffaug and name.startswith("D"):
            net.register_forward_pre_hook(DiffAugment(self.opt.diffaug))
        self.execution.compile(net)
        self.nets[name] = net
        return net

    def add_phase(
        self,
        name: str,
        terms: Callable[[], Terms],
        nets: Sequence[str],
        *,
        lr: float,
        every: int = 1,
        scale: float = 1.0,
    ) -> None:
        """Train `nets` on scale * sum(terms()), every `every` steps, in the order added.

        Phases over the same nets share one optimizer, so a lazy regulariser is one more phase.
        """
        shared = [phase.optimizer for phase in self.phases if phase.nets == tuple(nets)]
        parameters = [parameter for net in nets for parameter in self.nets[net].parameters()]
        betas = (self.opt.beta1, self.opt.beta2)
        fused = self.execution.fast
        optimizer = shared[0] if shared else adam(parameters, lr=lr, betas=betas, fused=fused)
        self.phases.append(Phase(name, tuple(nets), terms, optimizer, every, scale))

    def add_state(self, name: str, state: checkpoint.Stateful) -> None:
        """Save and restore `state` (an image pool, say) with the run."""
        self.local_state.parts[name] = state

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(source, target) images of an image-to-image batch on the device, as --direction says."""
        source, target = self.to_device(batch["A"]), self.to_device(batch["B"])
        return (target, source) if self.opt.direction == "BtoA" else (source, target)

    def to_device(self, value: Tensor | list[str]) -> Tensor:
        assert isinstance(value, Tensor)
        return self.execution.place(value)

    # ------------------------------------------------------------------ called by train.py, test.py

    def optimize_parameters(self, batch: Batch) -> None:
        """One training step: run every phase that is due on this batch.

        Raises:
            RunFault: a loss is not a finite number; nothing has been learned from it on a CPU, where
                every term is looked at, while GPUs look at every hundredth step and before each save.
        """
        self.execution.begin_step(phase.optimizer for phase in self.phases)
        due = [phase for phase in self.phases if self.steps % phase.every == 0]
        parts = split_batch(batch, self.opt.accumulate)
        for name in dict.fromkeys(net for phase in due for net in phase.nets):
            before_update(self.nets[name])
        if len(parts) == 1:  # then one forward serves every phase
            self._forward(parts[0], learners=[net for phase in due for net in phase.nets])
        for phase in due:
            phase.optimizer.zero_grad(set_to_none=True)
            self._terms[phase.name] = {}
            for part in parts:
                if len(parts) > 1:
                    self._forward(part, learners=phase.nets)
                self._backward(phase, share=1 / len(parts))
            self._update(phase)
        if any(net in self.ema.shadows for phase in due for net in phase.nets):
            self.ema.update(self.nets)
        self.steps += 1

    @torch.no_grad()
    def test(self, batch: Batch) -> dict[str, Tensor]:
        """Label -> images (N, C, H, W) in [-1, 1] made from one batch, with averaged weights where there are any.

        In test.py batch norm and dropout work as in training unless --eval is given, as the classic
        does; spectral norm never moves.
        """
        with self.inference_mode():
            self._take(batch)
            self.forward()
            return self.visuals()

    @contextmanager
    def inference_mode(self) -> Iterator[None]:
        """Within the context nothing learns, and the nets hold their averaged weights."""
        with (
            self._eval_mode(keep_statistics=self.is_train or self.opt.eval),
            self.ema.applied_to(self.nets),
            eager_call(*self.nets.values() if self.is_train else ()),
            self.execution.autocast_context(),
        ):
            yield

    def get_current_losses(self) -> dict[str, float]:
        """The last terms of each phase and scalars(), averaged over ranks; every rank must call it."""
        terms = self._last_terms()
        order = [name for name in self.loss_names if name in terms]
        values = {name: terms[name].item() for name in (*order, *terms)}
        values |= {name: value.item() for name, value in self.scalars().items()}
        return distributed.mean(values)

    @torch.no_grad()
    def get_current_visuals(self) -> dict[str, Tensor]:
        """Label -> images (N, C, H, W) in [-1, 1] of the last step, to be read before the next."""
        with eager_call(*self.nets.values()), self.execution.autocast_context():
            return {label: images.detach() for label, images in self.visuals().items()}

    def generator_loss(self) -> float:
        """The sum of the terms of the phases that train a generator; what `plateau` watches."""
        terms = [term for name, term in self._last_terms().items() if not name.startswith("D")]
        return distributed.mean({"G": sum(term.item() for term in terms)})["G"]

    def update_learning_rate(self, factor: float) -> None:
        """Set every optimizer to `factor` times the rate that it was made with."""
        for phase in self.phases:
            for group in phase.optimizer.param_groups:
                group["lr"] = factor * phase.optimizer.defaults["lr"]

    def check_finite(self) -> None:
        """Raise RunFault where a term of the last step is not a finite number, on any rank; all must call it."""
        bad = [name for name, term in self._last_terms().items() if not torch.isfinite(term)]
        if distributed.any_rank(bool(bad)):
            raise RunFault(
                f"the loss {', '.join(bad) or 'of another process'} is not a finite number at step {self.steps + 1}; the last saved state is "
                "unharmed: go on from it with --continue_train and a lower --lr, --clip_grad 1, or without --amp"
            )

    def state_dict(self) -> dict:
        return {
            "nets": self.nets.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": {phase.name: phase.optimizer.state_dict() for phase in self.phases},
            "scaler": self.scaler.state_dict(),
            "terms": self._terms,
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict) -> None:
        self.nets.load_state_dict(state["nets"])
        self.ema.load_state_dict(state["ema"])
        for phase in self.phases:
            phase.optimizer.load_state_dict(state["optimizers"][phase.name])
            asked = phase.optimizer.defaults  # what is asked for now counts, not what was saved
            for group in phase.optimizer.param_groups:
                group.update(lr=asked["lr"], betas=asked["betas"])
        self.scaler.load_state_dict(state["scaler"])
        self._terms = state["terms"]
        self.steps = state["steps"]

    def network_files(self, epoch: int | str) -> dict[str, dict]:
        """File name -> state: `<epoch>_net_<name>.pth` of each net, `<epoch>_net_<name>_ema.pth` of averaged weights.

        A plugin may override it to add files. It need not copy tensors: a run that writes in the background does.
        """
        averaged = {f"{name}_ema": net for name, net in self.ema.shadows.items()}
        nets = dict(self.nets.items()) | averaged
        return {f"{epoch}_net_{name}.pth": net.state_dict() for name, net in nets.items()}

    def save_networks(self, epoch: int | str) -> None:
        """Write network_files(epoch) now, on rank 0."""
        if log.is_main():
            files = self.network_files(epoch)
            checkpoint.save_all({self.save_dir / name: state for name, state in files.items()})

    @property
    def overrides_save_networks(self) -> bool:
        """Whether a plugin has its own save_networks(); a run then calls it instead of network_files()."""
        return type(self).save_networks is not BaseModel.save_networks

    def load_networks(self, epoch: int | str) -> None:
        """Read `<epoch>_net_<name>.pth` of every net; test.py prefers the averaged weights `..._ema.pth`.

        Raises:
            UserError: a file is missing, damaged or of another architecture.
        """
        averaged = not self.is_train and not self.opt.no_ema
        weights.load_nets(dict(self.nets.items()), self.save_dir, epoch, averaged=averaged)
        self.ema.restart(self.nets)

    def init_networks(self, folder: Path, epoch: str) -> None:
        """Start from the weights in another run's folder, by shared keys, and say what was taken.

        Raises:
            UserError: it holds none that fit.
        """
        weights.init_from(dict(self.nets.items()), folder, epoch)
        self.ema.restart(self.nets)

    def print_networks(self, verbose: bool = False) -> None:
        """Say how many parameters each net has; with `verbose` its layers, too."""
        for name, net in self.nets.items():
            count = sum(parameter.numel() for parameter in net.parameters())
            log.info(f"{net}\n" * verbose + f"[Network {name}] parameters: {count / 1e6:.3f} M")
            describe = getattr(net, "describe", lambda side: ())  # a net may have more to say of itself
            for line in describe(self.opt.image_side):
                log.info(f"[Network {name}] {line}")

    # ------------------------------------------------------------------ private

    def _last_terms(self) -> Terms:
        return {name: term for terms in self._terms.values() for name, term in terms.items()}

    def _let_learn(self, names: Iterable[str]) -> None:
        """Freeze all other nets, which the plain path does not care to: gradients nobody asked for are thrown away."""
        if not self.execution.fast:
            names = (name for phase in self.phases for name in phase.nets)
        names = set(names)
        for name, net in self.nets.items():
            net.requires_grad_(name in names)

    def _forward(self, batch: Batch, learners: Iterable[str]) -> None:
        self._let_learn(learners)
        with self.execution.autocast_context():
            self._take(batch)
            self.forward()

    def _take(self, batch: Batch) -> None:
        try:
            self.set_input(batch)
        except KeyError as error:
            if error.args[0] in batch:
                raise
            raise UserError(
                f"--model {self.opt.model} asks for {error} of each item, but --dataset_mode "
                f"{self.opt.dataset_mode} gives {', '.join(batch)}: choose another --dataset_mode"
            ) from error

    def _backward(self, phase: Phase, share: float) -> None:
        self._let_learn(phase.nets)
        with self.execution.autocast_context():
            terms = phase.terms()
        seen = self._terms[phase.name]
        for name, term in terms.items():
            seen[name] = seen.get(name, torch.zeros_like(term.detach())) + share * term.detach()
        if self.device.type == "cpu" or self.steps % GUARD_EVERY == 0:
            self.check_finite()
        total = torch.stack(
            [term.float() if term.dtype != torch.float64 else term for term in terms.values()]
        ).sum()
        self.scaler.scale(share * phase.scale * total).backward()

    def _update(self, phase: Phase) -> None:
        distributed.average_gradients(phase.parameters)
        strengths = [self.opt.ortho_D if name.startswith("D") else self.opt.ortho_G for name in phase.nets]
        if any(phase.optimizer is earlier.optimizer for earlier in self.phases[: self.phases.index(phase)]):
            strengths = [0.0] * len(strengths)  # once a step, however many phases the nets have
        if self.opt.clip_grad > 0 or any(strengths):
            self.scaler.unscale_(phase.optimizer)
        for name, strength in zip(phase.nets, strengths, strict=True):
            if strength > 0:
                add_orthogonal_gradient(self.nets[name], strength)
        if self.opt.clip_grad > 0:
            nn.utils.clip_grad_norm_(phase.parameters, self.opt.clip_grad)
        self.scaler.step(phase.optimizer)
        self.scaler.update()

    @contextmanager
    def _eval_mode(self, keep_statistics: bool) -> Iterator[None]:
        """Within the context nothing learns: eval mode, with batch norm and dropout live unless told otherwise."""
        modes = {module: module.training for module in self.nets.modules()}
        self.nets.eval()
        if not keep_statistics:
            for module in self.nets.modules():
                if isinstance(module, _BatchNorm | _DropoutNd):
                    module.train()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Cut every entry of a batch into `parts` equal pieces along its first axis."""
    if parts == 1:
        return [batch]
    size = len(next(iter(batch.values())))
    assert size % parts == 0, (size, parts)
    step = size // parts
    return [{key: value[i : i + step] for key, value in batch.items()} for i in range(0, size, step)]
