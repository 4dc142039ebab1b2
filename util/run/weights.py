"""Reading and writing weight files, of this repository and of upstream (pytorch-CycleGAN-and-pix2pix)."""

import re
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from util import log
from util.errors import RunFault, UserError
from util.power_iteration import before_update
from util.run import checkpoint
from util.run.weight_files import epochs, saved

State = dict[str, Tensor]
Shape = tuple[int, ...]
POWER_ITERATIONS = 15  # as many as torch runs when it sets up spectral norm
OTHER_OPTIONS = "its net was built with other options: use those in the opt.json of its run"
WRAPPERS = ("module", "_orig_mod")  # what DataParallel and torch.compile put into keys
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def read(path: Path) -> State:
    """The state dict in a file, without the prefixes that DataParallel and torch.compile add to keys.

    Raises:
        UserError: the file is missing or damaged, or does not hold a state dict.
    """
    state = checkpoint.load(path)
    values = state.items() if isinstance(state, dict) else ()
    if not values or not all(isinstance(key, str) and _is_weight(value) for key, value in values):
        raise UserError(
            f"{path} does not hold the weights of one network (a dict of ordinary tensors): choose a *_net_*.pth file"
        )
    return {
        ".".join(part for part in key.split(".") if part not in WRAPPERS): value
        for key, value in state.items()
    }


def _is_weight(value: object) -> bool:
    """Whether a value is an ordinary tensor of real numbers: not sparse, quantized, complex or without memory."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    return not (value.is_meta or value.is_quantized or value.is_complex())


def load_nets(nets: dict[str, nn.Module], folder: Path, epoch: int | str, *, averaged: bool) -> None:
    """Read `<epoch>_net_<name>.pth` of each net, or with `averaged` its `..._ema.pth` if there is one.

    Raises:
        UserError: a file is missing, damaged or of another architecture.
    """
    for name, net in nets.items():
        current, ema = (folder / f"{epoch}_net_{name}{ending}.pth" for ending in ("", "_ema"))
        path = ema if averaged and ema.exists() else current
        if not path.exists():
            raise UserError(f"there is no {path}: {_available(folder)}")
        load_into(net, path, name)
        log.info(f"loaded {path}")


def _available(folder: Path) -> str:
    found = saved(folder)
    if not folder.exists():
        return "the folder does not exist; check --name and --checkpoints_dir, or train first"
    if not found:
        return "the folder holds no weights; check --name and --checkpoints_dir, or train first"
    nets = sorted({net for _, net in found})
    return f"--epoch can be {', '.join(epochs(folder))}, with nets {', '.join(nets)}"


def load_into(net: nn.Module, path: Path, name: str) -> None:
    """Load a file into a net, all keys or none.

    Raises:
        UserError: the file cannot be read, is of another architecture, or holds NaN.
    """
    state = _read_for(net, path)
    wrong = mismatch(net, state)
    if wrong:
        raise UserError(f"{path} does not fit net {name}: {wrong}")
    net.load_state_dict(state)


def check_finite(nets: nn.ModuleDict) -> None:
    """Raise RunFault if a weight is not a finite number, which can happen although all losses are finite."""
    for name, net in nets.items():
        if key := _not_finite(net.state_dict(), dict(net.named_buffers())):
            raise RunFault(
                f"some weights of {name}, such as {key}, are not finite numbers, so they were not saved; earlier saved weights are "
                "unchanged: resume from them with --continue_train and a lower --lr, --clip_grad 1, or without --amp"
            )


def _not_finite(state: State, buffers: Collection[str]) -> str:
    """The key of a tensor with NaN, or of one with infinity that is no buffer, as a mask is; empty if there is none."""
    for key, value in state.items():
        numbers = value if value.element_size() > 1 else value.float()  # torch cannot test numbers of 8 bits
        if bool((numbers.isnan() if key in buffers else ~numbers.isfinite()).any()):
            return key
    return ""


def refuse_not_finite(path: Path, state: State, buffers: Collection[str] = ()) -> None:
    """Raise UserError if the tensors of a file hold NaN, or infinity in others than `buffers`."""
    if key := _not_finite(state, buffers):
        raise UserError(
            f"{path} is unusable, because {key} holds NaN or infinity: use another save, for example with --epoch"
        )


def _read_for(net: nn.Module, path: Path) -> State:
    """The finite tensors in a file, with the keys that the net has."""
    state = adapt(read(path), net)
    refuse_not_finite(path, state, dict(net.named_buffers()))
    return state


def load_shared(net: nn.Module, path: Path) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Load the tensors of a file whose keys and shapes are those of the net.

    Returns the other tensors with their shapes: (those of the net, those of the file).

    Raises:
        UserError: there are none.
    """
    state = _read_for(net, path)
    own = net.state_dict()
    shared = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    if not shared:
        raise UserError(
            f"--init_from: no weight in {path} fits the net; choose a run with the same architecture"
        )
    net.load_state_dict(shared, strict=False)
    if any(key.endswith("._u") for key in own.keys() - shared.keys()):
        before_update(net, POWER_ITERATIONS)
    return _others(own, shared), _others(state, shared)


def init_from(nets: dict[str, nn.Module], folder: Path, epoch: str) -> None:
    """Load `<epoch>_net_<name>.pth` of a folder into each net by load_shared(), and print what was loaded.

    Raises:
        UserError: the folder has no file for any of the nets, or one that shares no weights with its net.
    """
    paths = {name: folder / f"{epoch}_net_{name}.pth" for name in nets}
    if not any(path.exists() for path in paths.values()):
        raise UserError(
            f"--init_from {folder} has no {epoch}_net_*.pth for {', '.join(nets)}: choose the folder of a run"
        )
    for name, path in paths.items():
        if not path.exists():
            log.info(f"--init_from: {name} keeps its initial weights, because there is no {path}")
            continue
        new, unused = load_shared(nets[name], path)
        count = len(nets[name].state_dict()) - len(new)
        resized = [f"{key} {new[key]}, not {unused[key]}" for key in new if key in unused]
        added = [f"{key} {shape}" for key, shape in new.items() if key not in unused]
        left = [f"{key} {shape}" for key, shape in unused.items() if key not in new]
        log.info(
            f"--init_from: {name} loaded {count} tensors; with initial values: {_some(added)}; with initial values "
            f"because their shape differs from that in the file: {_some(resized)}; unused in the file: {_some(left)}"
        )


def _others(state: State, shared: State) -> dict[str, Shape]:
    return {key: tuple(state[key].shape) for key in sorted(state.keys() - shared.keys())}


def _some(texts: list[str]) -> str:
    return ", ".join(texts[:8]) + f" and {len(texts) - 8} more" * (len(texts) > 8) or "none"


def adapt(state: State, net: nn.Module) -> State:
    """Drop the statistics that instance norms saved before torch 0.4, and rename weights to or from spectral norm's keys."""
    # batch norms have weights; their statistics stay, so that they are reported as a mismatch
    norms = tuple(
        f"{name}."
        for name, module in net.named_modules()
        if isinstance(module, _InstanceNorm) and f"{name}.weight" not in state
    )
    own, adapted = net.state_dict(), State()
    for key, value in state.items():
        if key.startswith(norms) and key.endswith(STATISTICS):
            continue
        normalised = re.sub("weight$", "parametrizations.weight.original", key)
        unnormalised = key.replace("parametrizations.weight.original", "weight")
        candidates = (key, normalised, unnormalised)
        adapted[next((candidate for candidate in candidates if candidate in own), key)] = value
    return adapted


def check_states(nets: nn.ModuleDict, state: State) -> None:
    """Raise ValueError, which names the net and the likely cause, if the state of all nets does not fit them."""
    for name, net in nets.items():
        own = {
            key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")
        }
        if reason := mismatch(net, own):
            raise ValueError(f"net {name}: {reason}")


def mismatch(net: nn.Module, state: State) -> str:
    """Why a state dict does not fit a net; empty if it fits.

    A net can name the likely cause itself, with a method explain_mismatch(state) -> str.
    """
    own = net.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    if not (missing or extra or shapes):
        return ""
    facts = []
    if missing:
        facts.append(f"it lacks {len(missing)} of {len(own)} tensors ({missing[0]}, ...)")
    if extra:
        facts.append(f"it has {len(extra)} unknown tensors ({extra[0]}, ...)")
    if shapes:
        found, expected = (tuple(tensors[shapes[0]].shape) for tensors in (state, own))
        facts.append(f"{len(shapes)} tensors have other shapes ({shapes[0]} {found}, not {expected})")
    cause = "it holds another kind of network (check --netG and --netD), or is from another project"
    if own.keys() & state.keys():
        cause = getattr(net, "explain_mismatch", lambda state: OTHER_OPTIONS)(state)
    return f"{', '.join(facts)}; {cause}"
