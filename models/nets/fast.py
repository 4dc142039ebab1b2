"""Giving a chain of layers their compiled forms on the CPU, in place: same parameters, same state_dict."""

from torch import nn

from models.nets import fused_norm, winograd
from models.nets.native.library import library

LEAST_CHANNELS = 64  # of a convolution; with fewer the transforms cost what the products save


def speed_up(net: nn.Module) -> bool:
    """Make pairs of reflection padding and 3x3 convolution Winograd ones, and instance norm and ReLU one function.

    Nets without such pairs stay as they are, and so does every net where nothing can be compiled: False then.
    """
    chains = [module for module in net.modules() if isinstance(module, nn.Sequential)]
    pairs = [(chain, index) for chain in chains for index in range(len(chain) - 1) if _pays(chain, index)]
    if not pairs or library() is None:
        return False
    for chain, index in pairs:
        conv = chain[index + 1]
        assert isinstance(conv, nn.Conv2d)
        winograd.convert(conv, reflect=True)
        chain[index] = nn.Identity()  # the numbers in the keys behind it stay
    for chain in chains:
        _fuse_norms(chain)
    return True


def _pays(chain: nn.Sequential, index: int) -> bool:
    pad, conv = chain[index], chain[index + 1]
    if not isinstance(pad, nn.ReflectionPad2d) or not winograd.is_plain_3x3(conv):
        return False
    assert isinstance(conv, nn.Conv2d)
    return pad.padding == (1, 1, 1, 1) and min(conv.in_channels, conv.out_channels) >= LEAST_CHANNELS


def _fuse_norms(chain: nn.Sequential) -> None:
    for index, norm in enumerate(chain):
        if type(norm) is not nn.InstanceNorm2d or norm.affine or norm.track_running_stats:
            continue
        relu = index + 1 < len(chain) and type(chain[index + 1]) is nn.ReLU
        fused_norm.convert(norm, relu=relu)
        if relu:
            chain[index + 1] = nn.Identity()
