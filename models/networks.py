"""The front door of everything that is a network: build by name, and the shared parts.

A family is one file in models/nets/ and one line in a table here.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.nets import biggan, dcgan, sagan
from models.nets.attention import SelfAttention2d
from models.nets.biggan import BigGANDiscriminator, BigGANGenerator
from models.nets.biggan import default_attention as biggan_attention
from models.nets.cgan_mlp import MLPDiscriminator, MLPGenerator
from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.dcgan import DCGANDiscriminator, DCGANGenerator
from models.nets.init import INITS, init_weights
from models.nets.layer_taps import TappedChain
from models.nets.layers import (
    NORMS,
    Norm,
    apply_spectral_norm,
    batched_forward,
    get_norm_layer,
    receptive_field,
)
from models.nets.losses import GANLoss
from models.nets.patchgan import NLayerDiscriminator, PixelDiscriminator, smallest_side
from models.nets.resnet import SMALLEST_SIDE, ResnetBlock, ResnetGenerator
from models.nets.sagan import SAGANDiscriminator, SAGANGenerator
from models.nets.sagan import default_attention as sagan_attention
from models.nets.unet import UnetGenerator, UnetSkipConnectionBlock
from models.training.penalties import gradient_penalty, r1_penalty
from util.errors import UserError
from util.plugins import unknown

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "LATENT_SIZES",
    "BigGANDiscriminator",
    "BigGANGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "GANLoss",
    "MLPDiscriminator",
    "MLPGenerator",
    "NLayerDiscriminator",
    "PixelDiscriminator",
    "ResnetBlock",
    "ResnetGenerator",
    "SAGANDiscriminator",
    "SAGANGenerator",
    "SelfAttention2d",
    "SpeedUp",
    "TappedChain",
    "UnetGenerator",
    "UnetSkipConnectionBlock",
    "add_attention",
    "apply_spectral_norm",
    "attention_rows",
    "batched_forward",
    "biggan_attention",
    "check",
    "check_latent",
    "define_D",
    "define_G",
    "gammas",
    "get_norm_layer",
    "gradient_penalty",
    "init_weights",
    "r1_penalty",
    "receptive_field",
    "sagan_attention",
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

SIDE_MULTIPLES = {"unet_128": 128, "unet_256": 256}

# name -> (input_nc, ndf, n_layers, norm layer) -> net
DISCRIMINATORS: dict[str, Callable[[int, int, int, Norm], nn.Module]] = {
    "basic": lambda input_nc, ndf, n_layers, norm: NLayerDiscriminator(input_nc, ndf, 3, norm),
    "n_layers": NLayerDiscriminator,
    "pixel": lambda input_nc, ndf, n_layers, norm: PixelDiscriminator(input_nc, ndf, norm),
}


# name of a noise-to-image family -> the image sides in pixels that it has an architecture for; None = any
LATENT_SIZES: dict[str, tuple[int, ...] | None] = {
    "dcgan": dcgan.SIZES,
    "cgan_mlp": None,
    "sagan": sagan.SIZES,
    "biggan": biggan.SIZES,
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
    return net


def attention_rows(
    net: nn.Module, tap: str, inputs: Sequence[Tensor], points: list[tuple[float, float]]
) -> Tensor:
    """What a net's attention at `tap` looks at from a few points of its features.

    `inputs` are what the net takes, N of each; points (y, x) in [0, 1) -> (N, P, h, w), each map summing to
    1. The net is run in eval mode.
    """
    training = net.training
    net.eval()
    attention, seen = net.get_submodule(f"attention.{tap}"), []
    assert isinstance(attention, SelfAttention2d)
    hook = attention.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        with torch.no_grad():
            net(*inputs)
            return attention.rows(seen[0], points)
    finally:
        hook.remove()
        net.train(training)


def gammas(nets: nn.ModuleDict) -> dict[str, Tensor]:
    """gamma_<net>_<place>: how much each attention of some nets has been let in."""
    return {
        f"gamma_{name}_{place}": attention.gamma
        for name, net in nets.items()
        for place, attention in getattr(net, "attention", {}).items()
    }


def check(
    *,
    netG: str,
    norm: str,
    init_type: str,
    side: int | None = None,
    netD: str | None = None,
    n_layers_D: int = 3,
) -> None:
    """Refuse names that no table knows and image sides (in pixels) that the nets cannot take.

    Raises:
        UserError: with the flag and the way out.
    """
    chosen: list[tuple[str, str | None, Iterable[str]]] = [
        ("--netG", netG, GENERATORS),
        ("--netD", netD, DISCRIMINATORS),
        ("--norm", norm, NORMS),
        ("--init_type", init_type, ["default", *INITS]),
    ]
    _check_names(chosen)
    if side is None:
        return
    multiple = SIDE_MULTIPLES.get(netG, 1)
    if side % multiple:
        near = max(multiple, round(side / multiple) * multiple)
        raise UserError(
            f"--netG {netG} needs images whose sides are multiples of {multiple}, not {side} pixels: "
            f"use --load_size {near} --crop_size {near}, or --netG resnet_9blocks"
        )
    if netG.startswith("resnet") and side < SMALLEST_SIDE:
        raise UserError(
            f"--netG {netG} needs images of at least {SMALLEST_SIDE} pixels, not {side}: use a larger --crop_size"
        )
    smallest = smallest_side(3 if netD == "basic" else n_layers_D)
    if netD in ("basic", "n_layers") and side < smallest:
        raise UserError(
            f"--netD {netD} needs images of at least {smallest} pixels, not {side}: "
            "use a larger --crop_size, --netD pixel, or --netD n_layers with a smaller --n_layers_D"
        )


def check_latent(family: str, side: int, *, norm: str, init_type: str) -> None:
    """Refuse names that no table knows, and image sides (in pixels) that a noise-to-image family has no nets for.

    Raises:
        UserError: with the flag and the way out.
    """
    _check_names([("--norm", norm, NORMS), ("--init_type", init_type, ["default", *INITS])])
    sizes = LATENT_SIZES[family]
    if sizes is not None and side not in sizes:
        known = ", ".join(map(str, sizes))
        raise UserError(f"{family} has no architecture for {side} pixels: --crop_size can be {known}")


def _check_names(chosen: Sequence[tuple[str, str | None, Iterable[str]]]) -> None:
    for flag, name, table in chosen:
        if name is not None and name not in table:
            raise UserError(unknown(flag, name, table))


def _look_up(table: dict[str, T], what: str, name: str) -> T:
    if name not in table:
        raise ValueError(f"unknown {what} {name!r}; known: {', '.join(table)}")
    return table[name]
