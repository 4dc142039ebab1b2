"""The contract between a GAN plugin and the training loop."""

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from models.training.diffaug import DiffAugment
from models.training.execution import eval_mode
from models.training.flag_needs import check_flags
from models.training.fused_adam import adam
from models.training.penalties import AdversarialLoss, DiscriminatorLoss, Inputs
from models.training.plugin_checks import check_channels, check_networks, check_visuals
from models.training.step import DISCRIMINATOR, GENERATOR, Batch, Phase, Terms, TrainingStep
from util import distributed, log
from util.compiling import eager_call
from util.run import checkpoint, weights


class BaseModel(TrainingStep, ABC):
    """Named networks, the phases that train them, and the images that they show.

    A plugin writes __init__ (add_net, add_phase, add_discriminator_phase, add_state), set_input, forward,
    visuals, and for each phase a method that returns its named loss terms. models/training/step.py runs them.

    The phases of a step share one forward() and run in the order in which they were added. With `--accumulate k`
    the batch is cut into k parts, and each phase calls forward() on each part. This equals one large batch if
    the discriminator learns first. If the generator does (CycleGAN), the discriminator sees fakes of the
    generator that has just been updated.
    """

    loss_names: tuple[str, ...] = ()  # terms to show first, in this order; optional
    test_dataset: str | None = None  # the --dataset_mode of test.py; None = the one of the run

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the plugin's own flags and change defaults."""
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        """Raise UserError for options that cannot work; called before anything is built."""

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.save_dir = Path(opt.checkpoints_dir) / opt.name
        self.local_state = checkpoint.StateBag()  # what differs between processes
        self.penalties: set[str] = set()  # the flags of penalties that a phase applies

    # ------------------------------------------------------------------ written by the plugin

    @abstractmethod
    def set_input(self, batch: Batch) -> None:
        """Keep the inputs from one batch of the data set as attributes, on self.device."""

    @abstractmethod
    def forward(self) -> None:
        """Compute the fakes from the inputs, as attributes; called in training and at test time."""

    @abstractmethod
    def visuals(self) -> dict[str, Tensor]:
        """Label -> images (N, C, H, W) in [-1, 1] of the last forward()."""

    def scalars(self) -> dict[str, Tensor]:
        """Further numbers to log with the loss terms, name -> scalar."""
        return {}

    # ------------------------------------------------------------------ called by the plugin

    def add_net(
        self, name: str, net: nn.Module, *, role: str | None = None, ema: bool | None = None
    ) -> nn.Module:
        """Own `net` under `name`: place, compile, average and save it.

        Args:
            role: "generator", "discriminator" or another word. Without it, ema=True and add_discriminator_phase say
                which of the two it is.
            ema: whether `--ema_decay` averages its weights; by default those of nets with role="generator".
        """
        net = net.to(self.device)
        distributed.broadcast([*net.parameters(), *net.buffers()])
        self.execution.speed_up(net)
        averaged = role == GENERATOR if ema is None else ema
        if averaged:
            self.ema.track(name, net)
        self.nets[name] = net
        if role or averaged:
            self._assign_role([name], role or GENERATOR)
        self.execution.compile(net)
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
        offset: int = 0,
    ) -> None:
        """Train `nets` on scale * sum(terms()) at every `every`-th step, first in step `offset`, counted from 0.

        Phases over the same nets share one optimizer, so a lazy regulariser is one more phase.
        """
        check_networks(nets, self.nets, self.opt.model)
        roles = [self.roles.get(net, "") for net in nets]
        role = GENERATOR if GENERATOR in roles else roles[0]
        shared = [phase.optimizer for phase in self.phases if phase.nets == tuple(nets)]
        parameters = [parameter for net in nets for parameter in self.nets[net].parameters()]
        betas, fused = (self.opt.beta1, self.opt.beta2), self.execution.fast
        optimizer = shared[0] if shared else adam(parameters, lr=lr, betas=betas, fused=fused)
        self.phases.append(Phase(name, role, tuple(nets), terms, optimizer, every, scale, offset))

    def add_discriminator_phase(
        self,
        name: str,
        adversarial: AdversarialLoss,
        nets: Sequence[str],
        *,
        real: Inputs,
        fake: Inputs,
        label: Callable[[], Tensor | None] = lambda: None,
        lr: float,
        scale: float = 1.0,
        log_sums: bool = False,
    ) -> None:
        """Train discriminators on scale * (adversarial loss + lambda_gp * gradient penalty + r1_gamma * R1).

        R1 is the phase `<name>_r1`, which runs every `--r1_every` steps with as many times the weight.

        Args:
            adversarial: (net, real, fake, label) -> terms, e.g. GANLoss(mode).discriminator. `fake` is detached.
            real, fake: return the images (N, C, H, W) that each net of `nets` judges.
            label: returns the labels (N,) of both; None if the nets take none.
            log_sums: log scale * (the sum) of each net as `<net>`; otherwise the unscaled parts as `<net>_real`, ...
        """
        check_networks(nets, self.nets, self.opt.model)
        self._assign_role(nets, DISCRIMINATOR)
        scale, sum_weight = (1.0, scale) if log_sums else (scale, None)
        judges = {net: self.nets[net] for net in nets}
        penalties = {"lambda_gp": self.opt.lambda_gp, "r1_gamma": self.opt.r1_gamma}
        loss = DiscriminatorLoss(judges, adversarial, real, fake, label, **penalties, sum_weight=sum_weight)
        self.penalties |= {"r1_gamma", "lambda_gp"}
        terms = loss.terms
        if hasattr(self, "terms_D"):  # what plugins overrode before this method existed
            log.warn(
                f"--model {self.opt.model} defines terms_D, the old form of a discriminator's loss, which replaces that of "
                "add_discriminator_phase"
            )
            terms = self.terms_D
            self.penalties.remove("lambda_gp")
        self.add_phase(name, terms, nets, lr=lr, scale=scale)
        if self.opt.r1_gamma > 0:
            every = self.opt.r1_every
            self.add_phase(f"{name}_r1", loss.r1_terms, nets, lr=lr, every=every, scale=scale * every)

    def _assign_role(self, nets: Iterable[str], role: str) -> None:
        """Give a role to those of `nets` that have none yet."""
        for name in nets:
            if name not in self.roles and role == DISCRIMINATOR and self.is_train and self.opt.diffaug:
                self.nets[name].register_forward_pre_hook(DiffAugment(self.opt.diffaug))
            self.roles.setdefault(name, role)

    def add_state(self, name: str, state: checkpoint.Stateful) -> None:
        """Save and restore `state` (an image pool, say) with the run."""
        self.local_state.parts[name] = state

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(source, target) images (N, C, H, W) of a paired or unpaired batch on the device, by --direction."""
        source, target = ("B", "A") if self.opt.direction == "BtoA" else ("A", "B")
        return self.checked_images(batch[source], "input_nc"), self.checked_images(batch[target], "output_nc")

    def checked_images(self, value: Tensor | list[str], flag: str) -> Tensor:
        """Images (N, C, H, W) of a batch on the device; raises UserError if C is not the value of --input_nc or --output_nc."""
        images = self.to_device(value)
        check_channels(images, f"--{flag}", getattr(self.opt, flag), self.opt.dataset_mode)
        return images

    def to_device(self, value: Tensor | list[str]) -> Tensor:
        """A tensor of a batch on the device; images get the memory format of the nets."""
        assert isinstance(value, Tensor)
        return self.execution.place(value)

    # ------------------------------------------------------------------ called by train.py, test.py

    def check_flags(self) -> None:
        """Raise UserError for a flag of training that these networks and phases cannot honour."""
        if self.is_train:
            check_flags(self, self.opt, self.roles.values(), self.penalties, averaged=bool(self.ema.shadows))

    @torch.no_grad()
    def test(self, batch: Batch) -> dict[str, Tensor]:
        """Label -> images (N, C, H, W) in [-1, 1] made from one batch, with averaged weights if there are any."""
        with self.inference_mode():
            self._read_batch(batch)
            self.forward()
            return self._visuals()

    @contextmanager
    def inference_mode(self) -> Iterator[None]:
        """Within the context the nets are in eval mode, and hold their averaged weights if there are any.

        In test.py batch norm and dropout work as in training unless --eval is given, as upstream.
        """
        with (
            eval_mode(self.nets, keep_statistics=self.is_train or self.opt.eval),
            self.ema.applied_to(self.nets),
            eager_call(*self.nets.values() if self.is_train else ()),
            self.execution.autocast_context(),
        ):
            yield

    def get_current_losses(self) -> dict[str, float]:
        """The last terms of each phase and scalars(), averaged over processes; all must call it."""
        terms = self._last_terms()
        order = [name for name in self.loss_names if name in terms]
        values = {name: terms[name] for name in (*order, *terms)} | self.scalars()
        return distributed.mean({name: value.item() for name, value in values.items()})

    @torch.no_grad()
    def get_current_visuals(self) -> dict[str, Tensor]:
        """Label -> images (N, C, H, W) in [-1, 1] of the last step; read them before the next one."""
        with eager_call(*self.nets.values()), self.execution.autocast_context():
            return {label: images.detach() for label, images in self._visuals().items()}

    def _visuals(self) -> dict[str, Tensor]:
        shown = self.visuals()
        check_visuals(shown)
        return shown

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
        weights.check_states(self.nets, state["nets"])
        self.nets.load_state_dict(state["nets"])
        self.ema.load_state_dict(state["ema"])
        for phase in self.phases:
            phase.optimizer.load_state_dict(state["optimizers"][phase.name])
            for group in phase.optimizer.param_groups:  # the current flags count, not the saved ones
                group.update({key: phase.optimizer.defaults[key] for key in ("lr", "betas")})
        self.scaler.load_state_dict(state["scaler"])
        self._load_progress(state["terms"], state["steps"])

    def network_files(self, epoch: int | str) -> dict[str, dict]:
        """File name -> state: `<epoch>_net_<name>.pth` of each net, `<epoch>_net_<name>_ema.pth` of averaged weights.

        A plugin may override it to add files. It need not copy tensors; a run that saves in the background does.
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
        """Whether a plugin overrides save_networks(); a run then calls it instead of network_files()."""
        return type(self).save_networks is not BaseModel.save_networks

    def load_networks(self, epoch: int | str) -> None:
        """Read `<epoch>_net_<name>.pth` of every net; test.py prefers the averaged weights `..._ema.pth`.

        Raises:
            UserError: a file is missing, damaged or of another architecture.
        """
        averaged = not self.is_train and not self.opt.no_ema
        weights.load_nets(dict(self.nets.items()), self.save_dir, epoch, averaged=averaged)
        self.ema.restart(self.nets)
        self.ema.load(self.save_dir, epoch)

    def init_networks(self, folder: Path, epoch: str) -> None:
        """Load the weights of another run that have the same keys and shapes, and report which; see init_from."""
        weights.init_from(dict(self.nets.items()), folder, epoch)
        self.ema.restart(self.nets)

    def print_networks(self, verbose: bool = False) -> None:
        """Print the number of parameters of each net, and with `verbose` its layers."""
        for name, net in self.nets.items():
            count = sum(parameter.numel() for parameter in net.parameters())
            log.info(f"{net}\n" * verbose + f"[Network {name}] parameters: {count / 1e6:.3f} M")
            for line in getattr(net, "describe", lambda side: ())(self.opt.image_side):
                log.info(f"[Network {name}] {line}")
