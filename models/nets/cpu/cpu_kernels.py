"""Giving nets their compiled forms on the CPU, in place: same parameters, same state_dict."""

from torch import nn

from models.nets.cpu import fused_norm, winograd
from models.nets.cpu.library import library
from models.nets.cpu.winograd import Kind

# of a convolution: of the narrower side, of the wider; with fewer the transforms cost what the products save
LEAST_CHANNELS = {
    Kind.UNPADDED: (64, 64),
    Kind.ZEROS: (3, 128),
    Kind.HALVING: (3, 64),
    Kind.DOUBLING: (3, 64),
}


class SpeedUp(nn.Module):
    """A net that takes all the compiled forms there are for its layers."""

    likes_channels_last = False

    def speed_up(self) -> None:
        """Run on the CPU in compiled forms, where there are some; they want features plane by plane."""
        if speed_up(self):
            self.likes_channels_last = False


def speed_up(net: nn.Module) -> bool:
    """Make convolutions Winograd ones, with the reflection padding before them, and instance norm and ReLU one function.

    Nets without such convolutions stay as they are, and so does every net where nothing can be compiled:
    False then.
    """
    convs = [module for module in net.modules() if is_worth_converting(module)]
    if not convs or library() is None:
        return False
    chains = [module for module in net.modules() if isinstance(module, nn.Sequential)]
    for chain in chains:
        _take_padding(chain)
        _fuse_norms(chain)
    for conv in convs:
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        winograd.convert(conv)
    return True


def is_worth_converting(module: nn.Module) -> bool:
    kind = winograd.kind_of(module)
    if kind not in LEAST_CHANNELS:
        return False
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    narrow, wide = sorted((module.in_channels, module.out_channels))
    return narrow >= LEAST_CHANNELS[kind][0] and wide >= LEAST_CHANNELS[kind][1]


def _take_padding(chain: nn.Sequential) -> None:
    for index in range(len(chain) - 1):
        pad, conv = chain[index], chain[index + 1]
        unpadded = winograd.kind_of(conv) is Kind.UNPADDED and is_worth_converting(conv)
        if unpadded and isinstance(pad, nn.ReflectionPad2d) and pad.padding == (1, 1, 1, 1):
            assert isinstance(conv, nn.Conv2d)
            winograd.pad_by_reflection(conv)
            chain[index] = nn.Identity()  # the numbers in the keys behind it stay


def _fuse_norms(chain: nn.Sequential) -> None:
    for index, norm in enumerate(chain):
        if type(norm) is not nn.InstanceNorm2d or norm.affine or norm.track_running_stats:
            continue
        relu = index + 1 < len(chain) and type(chain[index + 1]) is nn.ReLU
        fused_norm.convert(norm, relu=relu)
        if relu:
            chain[index + 1] = nn.Identity()
