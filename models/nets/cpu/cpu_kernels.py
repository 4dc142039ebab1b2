"""Replacing layers of a net by compiled forms for the CPU, with the same parameters and state_dict."""

from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrize

from models.nets.cpu.fused_norm import FusedInstanceNorm
from models.nets.cpu.library import library
from models.nets.cpu.winograd import Kind, WinogradConv2d, WinogradConvTranspose2d, kind_of

# least channels of a convolution (narrower side, wider side); with fewer, the compiled form is not faster
LEAST_CHANNELS = {Kind.UNPADDED: (64, 64), Kind.ZEROS: (3, 128), Kind.HALVING: (3, 64)}
LEAST_CHANNELS[Kind.DOUBLING] = LEAST_CHANNELS[Kind.HALVING]
Layer = TypeVar("Layer", bound=nn.Module)


class SpeedUp(nn.Module):
    """A net that lets BaseModel replace its layers by their compiled forms."""

    likes_channels_last = False

    def speed_up(self) -> None:
        """Replace the layers that have compiled forms, in place; these forms need contiguous features."""
        if speed_up(self):
            self.likes_channels_last = False


def speed_up(net: nn.Module) -> bool:
    """Replace convolutions, with the reflection padding before them, and instance norms, with the ReLU after them.

    Returns False, and changes nothing, if no convolution becomes faster or the library cannot be built.
    """
    if not any(is_worth_converting(module) for module in net.modules()) or library() is None:
        return False
    for module in list(net.modules()):
        if isinstance(module, nn.Sequential):
            _merge_padding(module)
            _merge_norms(module)
    for parent in list(net.modules()):
        for name, layer in list(parent.named_children()):
            if is_worth_converting(layer):
                parent.add_module(name, compiled_form(layer))
    return True


def is_worth_converting(module: nn.Module) -> bool:
    """Whether a layer is a convolution of torch itself, parametrized or not, whose compiled form is faster."""
    kind = kind_of(module)
    torch_type = parametrize.type_before_parametrizations(module)
    if kind not in LEAST_CHANNELS or torch_type not in (nn.Conv2d, nn.ConvTranspose2d):
        return False
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    # nn.utils.spectral_norm and weight_norm keep more tensors in the layer, which its compiled form would lose
    if not {*module._parameters, *module._buffers} <= {"weight", "bias"}:
        return False
    narrow, wide = sorted((module.in_channels, module.out_channels))
    return narrow >= LEAST_CHANNELS[kind][0] and wide >= LEAST_CHANNELS[kind][1]


def share_state(new: Layer, old: nn.Module) -> Layer:
    """Give `new` the parameters, parametrizations, hooks and mode of `old`, by reference."""
    if parametrize.is_parametrized(old):
        assert isinstance(old.parametrizations, nn.ModuleDict)
        for name in old.parametrizations:  # adds the property `name`; the next line sets its content
            parametrize.register_parametrization(new, name, nn.Identity(), unsafe=True)
        new.parametrizations = old.parametrizations
    for name, parameter in old.named_parameters(recurse=False):
        new.register_parameter(name, parameter)
    for name, value in vars(old).items():
        if "_hook" in name:
            setattr(new, name, value)
    return new.train(old.training)


def compiled_form(conv: nn.Module, *, reflect: bool = False) -> WinogradConv2d | WinogradConvTranspose2d:
    """The compiled form of a convolution, with reflection padding of one pixel if `reflect`."""
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
    form = WinogradConv2d if isinstance(conv, nn.Conv2d) else WinogradConvTranspose2d
    new = form(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=1 if reflect else conv.padding,  # type: ignore[arg-type]
        padding_mode="reflect" if reflect else conv.padding_mode,
        bias=conv.bias is not None,
        device="meta",
    )
    return share_state(new, conv)


def _merge_padding(chain: nn.Sequential) -> None:
    for index in range(len(chain) - 1):
        pad, conv = chain[index], chain[index + 1]
        padded = isinstance(pad, nn.ReflectionPad2d) and pad.padding == (1, 1, 1, 1)
        if padded and kind_of(conv) is Kind.UNPADDED and is_worth_converting(conv):
            chain[index] = nn.Identity()  # keeps the numbers in the keys of the layers after it
            chain[index + 1] = compiled_form(conv, reflect=True)


def _merge_norms(chain: nn.Sequential) -> None:
    for index, norm in enumerate(chain):
        if type(norm) is not nn.InstanceNorm2d or norm.affine or norm.track_running_stats:
            continue
        relu = index + 1 < len(chain) and type(chain[index + 1]) is nn.ReLU
        chain[index] = share_state(FusedInstanceNorm(norm.num_features, norm.eps, relu=relu), norm)
        if relu:
            chain[index + 1] = nn.Identity()
