"""The front door of everything that is a network: build by name, and the shared parts.

A family is one file in models/nets/ and one line in a table here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import nn

from models.nets.attention import SelfAttention2d
from models.nets.init import init_weights
from models.nets.layers import Norm, apply_spectral_norm, get_norm_layer, receptive_field
from models.nets.losses import GANLoss, gradient_penalty
from models.nets.patchgan import NLayerDiscriminator, PixelDiscriminator
from models.nets.resnet import ResnetBlock, ResnetGenerator
from models.nets.tapped import TappedChain
from models.nets.unet import UnetGenerator, UnetSkipConnectionBlock

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "GANLoss",
    "NLayerDiscriminator",
    "PixelDiscriminator",
    "ResnetBlock",
    "ResnetGenerator",
    "SelfAttention2d",
    "TappedChain",
    "UnetGenerator",
    "UnetSkipConnectionBlock",
    "add_attention",
    "apply_spectral_norm",
    "define_D",
    "define_G",
    "get_norm_layer",
    "gradient_penalty",
    "init_weights",
    "receptive_field",
]

T = TypeVar("T")


def _unet(num_downs: int, input_nc: int, output_nc: int, ngf: int, norm: Norm, dropout: bool) -> nn.Module:
    return UnetGenerator(input_nc, output_nc, num_downs, ngf, norm, dropout)


# name -> (input_nc, output_nc, ngf, norm layer, use_dropout) -> net
GENERATORS: dict[str, Callable[[int, int, int, Norm, bool], nn.Module]] = {
    "resnet_9blocks": partial(ResnetGenerator, n_blocks=9),
    "resnet_6blocks": partial(ResnetGenerator, n_blocks=6),
    "unet_128": partial(_unet, 7),
    "unet_256": partial(_unet, 8),
}

# name -> (input_nc, ndf, n_layers, norm layer) -> net
DISCRIMINATORS: dict[str, Callable[[int, int, int, Norm], nn.Module]] = {
    "basic": lambda input_nc, ndf, n_layers, norm: NLayerDiscriminator(input_nc, ndf, 3, norm),
    "n_layers": NLayerDiscriminator,
    "pixel": lambda input_nc, ndf, n_layers, norm: PixelDiscriminator(input_nc, ndf, norm),
}


def define_G(
    input_nc: int,
    output_nc: int,
    ngf: int,
    netG: str,
    norm: str = "batch",
    use_dropout: bool = False,
    init_type: str = "normal",
    init_gain: float = 0.02,
    gpu_ids: Sequence[int] = (),
) -> nn.Module:
    """An initialised generator by name: (N, input_nc, H, W) -> (N, output_nc, H, W), both in [-1, 1].

    `gpu_ids` is accepted for old callers; placing nets is the training step's business.

    Raises:
        ValueError: unknown name.
    """
    net = _look_up(GENERATORS, "generator", netG)(input_nc, output_nc, ngf, get_norm_layer(norm), use_dropout)
    return init_weights(net, init_type, init_gain)


def define_D(
    input_nc: int,
    ndf: int,
    netD: str,
    n_layers_D: int = 3,
    norm: str = "batch",
    init_type: str = "normal",
    init_gain: float = 0.02,
    gpu_ids: Sequence[int] = (),
) -> nn.Module:
    """An initialised discriminator by name: (N, input_nc, H, W) in [-1, 1] -> logits (N, 1, h, w).

    `n_layers_D` counts for `n_layers` alone; `gpu_ids` is accepted for old callers.

    Raises:
        ValueError: unknown name.
    """
    net = _look_up(DISCRIMINATORS, "discriminator", netD)(input_nc, ndf, n_layers_D, get_norm_layer(norm))
    return init_weights(net, init_type, init_gain)


def add_attention(
    net: nn.Module,
    taps: Sequence[str],
    *,
    pooled: bool = True,
    spectral: bool = False,
    init_type: str = "normal",
    init_gain: float = 0.02,
) -> nn.Module:
    """Give a net self-attention at named places, in place.

    The random numbers it takes are given back, so that with the same seed the nets made before and
    after are those of a run without attention.

    Raises:
        ValueError: the net has no such place.
    """
    if taps and not isinstance(net, TappedChain):
        raise ValueError(
            f"{type(net).__name__} has no place for attention; ResNet generators and PatchGANs have"
        )
    with torch.random.fork_rng(devices=[]):
        for tap in taps:
            assert isinstance(net, TappedChain)
            attention = net.attend_at(tap, pooled=pooled)
            init_weights(attention, init_type, init_gain)
            if spectral:
                apply_spectral_norm(attention)
    return net


def _look_up(table: dict[str, T], what: str, name: str) -> T:
    if name not in table:
        raise ValueError(f"unknown {what} {name!r}; known: {', '.join(table)}")
    return table[name]
