"""Weight files of this and of the well-known repositories: cleaned, checked, explained, loaded."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from util import log
from util.errors import RunFault, UserError
from util.power_iteration import before_update
from util.run import checkpoint
from util.run.weight_files import saved

State = dict[str, Tensor]
SETTLING = 15  # power iterations, as many as torch takes when it sets up spectral norm
TRANSLATORS = ("model.", "net.")  # how the keys of the classic generators and discriminators begin
WRAPPERS = ("module", "_orig_mod")  # what DataParallel and torch.compile put into keys
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def read(path: Path) -> State:
    """The state dict in a file, its keys freed of the prefixes that wrappers add.

    Raises:
        UserError: missing, damaged, or no state dict.
    """
    state = checkpoint.load(path)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, Tensor) for value in state.values())
    ):
        raise UserError(
            f"{path} is not the weights of one network (a dict of tensors): name a *_net_*.pth file"
        )
    return {_bare(key): value for key, value in state.items()}


def load_nets(nets: dict[str, nn.Module], folder: Path, epoch: int | str, *, averaged: bool) -> None:
    """Read `<epoch>_net_<name>.pth` of each net, or with `averaged` its `..._ema.pth` where there is one.

    Raises:
        UserError: a file is missing, damaged or of another architecture.
    """
    for name, net in nets.items():
        plain, ema = (folder / f"{epoch}_net_{name}{ending}.pth" for ending in ("", "_ema"))
        path = ema if averaged and ema.exists() else plain
        if not path.exists():
            raise UserError(f"there is no {path}: {_what_there_is(folder)}")
        load_into(net, path, name)
        log.info(f"loaded {path}")


def _what_there_is(folder: Path) -> str:
    found = saved(folder)
    if not folder.exists():
        return "there is no such folder; check --name and --checkpoints_dir, or train first"
    if not found:
        return "the folder holds no weights; check --name and --checkpoints_dir, or train first"
    epochs, nets = ({pair[place] for pair in found} for place in (0, 1))
    return f"--epoch can be {', '.join(sorted(epochs))}, with nets {', '.join(sorted(nets))}"


def load_into(net: nn.Module, path: Path, name: str) -> None:
    """Load a file into a net, all keys or none.

    Statistics that instance norms of before torch 0.4 saved are left out.

    Raises:
        UserError: the file cannot be read, or belongs to another architecture; then it says which
            flag explains it, where that can be seen.
    """
    state = adapt(read(path), net)
    wrong = mismatch(net, state)
    if wrong:
        raise UserError(f"{path} does not fit net {name}: {wrong}")
    net.load_state_dict(state)


def check_finite(nets: nn.ModuleDict) -> None:
    """Raise RunFault where a weight is not a finite number, which a finite loss can leave behind."""
    for name, net in nets.items():
        if not all(bool(torch.isfinite(parameter).all()) for parameter in net.parameters()):
            raise RunFault(
                f"the weights of {name} are no longer finite numbers, so they were not saved; what was saved "
                "before is unharmed: go on from it with --continue_train and a lower --lr, --clip_grad 1, "
                "or without --amp"
            )


def load_shared(net: nn.Module, path: Path) -> tuple[list[str], list[str]]:
    """Load what a file shares with a net by key and shape; -> (keys left as they were, keys of the file not used)."""
    state = adapt(read(path), net)
    own = net.state_dict()
    shared = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    if not shared:
        raise UserError(f"--init_from: {path} shares no weights with the net it is meant for")
    net.load_state_dict(shared, strict=False)
    if any(key.endswith("._u") for key in own.keys() - shared.keys()):
        before_update(net, SETTLING)
    return sorted(own.keys() - shared.keys()), sorted(state.keys() - shared.keys())


def init_from(nets: dict[str, nn.Module], folder: Path, epoch: str) -> None:
    """Start nets from `<epoch>_net_<name>.pth` in a folder, by shared keys; say what was and was not taken.

    Raises:
        UserError: the folder holds no file for any of the nets, or one that shares nothing with its net.
    """
    paths = {name: folder / f"{epoch}_net_{name}.pth" for name in nets}
    if not any(path.exists() for path in paths.values()):
        raise UserError(
            f"--init_from {folder} holds no {epoch}_net_*.pth for {', '.join(nets)}: name a run's folder"
        )
    for name, path in paths.items():
        if not path.exists():
            log.info(f"init_from: {name} stays as it is, there is no {path}")
            continue
        new, unused = load_shared(nets[name], path)
        taken = len(nets[name].state_dict()) - len(new)
        log.info(f"init_from: {name} took {taken} tensors; new: {_some(new)}; not used: {_some(unused)}")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:8]) + f" and {len(keys) - 8} more" * (len(keys) > 8) or "none"


def adapt(state: State, net: nn.Module) -> State:
    """Drop old instance-norm statistics; give plain weights to spectrally normalised layers and the other way."""
    modules = net.named_modules()
    # batch norms have weights beside their statistics; those stay, to be told as a mismatch
    norms = tuple(
        f"{name}."
        for name, module in modules
        if isinstance(module, _InstanceNorm) and f"{name}.weight" not in state
    )
    state = {
        key: value for key, value in state.items() if not (key.startswith(norms) and key.endswith(STATISTICS))
    }
    own = net.state_dict()
    renamed: State = {}
    for key, value in state.items():
        normalised = key.removesuffix("weight") + "parametrizations.weight.original"
        plain = key.replace("parametrizations.weight.original", "weight")
        candidates = [key, normalised if key.endswith("weight") else key, plain]
        renamed[next((candidate for candidate in candidates if candidate in own), key)] = value
    return renamed


def mismatch(net: nn.Module, state: State) -> str:
    """Why a state dict does not fit a net, with the flag that explains it; empty where it fits."""
    own = net.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if not (missing or extra or shapes):
        return ""
    facts = []
    if missing:
        facts.append(f"it lacks {len(missing)} of {len(own)} tensors ({missing[0]}, ...)")
    if extra:
        facts.append(f"it has {len(extra)} unknown ones ({extra[0]}, ...)")
    if shapes:
        key = min(shapes)
        facts.append(
            f"{len(shapes)} have other shapes ({key} {tuple(state[key].shape)}, not {tuple(own[key].shape)})"
        )
    return ", ".join(facts) + "; " + _explanation(own, state, missing, extra, shapes)


def _explanation(own: State, state: State, missing: list[str], extra: list[str], shapes: list[str]) -> str:
    if not own.keys() & state.keys():
        return "it is the file of another kind of network (check --netG and --netD), or of another project"
    if not any(key.startswith(TRANSLATORS) for key in own):
        return (
            "it was trained with other options, which the run's opt.json knows: leave out flags of the net's size, "
            "noise, classes, attention and norms"
        )
    if any("attention." in key for key in missing):
        return "it has no attention: load it with --init_from, or use --model cycle_gan"
    if any("attention." in key for key in extra):
        return "it has attention: use --model cycle_gan_attn with the run's --attn_G_pos"
    if any(key.endswith("running_mean") for key in extra):
        return "it was trained with --norm batch"
    if any(key.endswith("running_mean") for key in missing):
        return "it was trained with --norm instance"
    blocks = {key for key in (*missing, *extra) if "conv_block" in key}
    if {key.split("conv_block.")[1].split(".")[0] for key in blocks} == {"5", "6"}:
        return "dropout moves this layer: add or remove --no_dropout"
    if _blocks(own) != _blocks(state):
        return f"it has {_blocks(state)} residual blocks, this net {_blocks(own)}: check --netG"
    if shapes and _is_only_edge(shapes):
        return "check --input_nc and --output_nc"
    if shapes:
        return "check --ngf, --ndf and --netG"
    return "check --netG, --netD and --norm"


def _blocks(state: State) -> int:
    return len({key.split(".conv_block")[0] for key in state if ".conv_block" in key})


def _is_only_edge(shapes: list[str]) -> bool:
    return len({key.rsplit(".", 1)[0] for key in shapes}) <= 2


def _bare(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in WRAPPERS)
