"""Networks by name: the only module through which plugins reach models/nets.

The table of names is FAMILIES (models/nets/families.py). A family is one file in models/nets/ that registers itself.
"""
# ruff: noqa: F401 (what is imported here is for plugins)

import inspect
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from torch import nn

from models.nets import families
from models.nets.attention import SelfAttention2d, attention_rows, gammas
from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.dcgan import DCGANDiscriminator, DCGANGenerator
from models.nets.families import FAMILIES
from models.nets.init import INITS, init_weights
from models.nets.layer_taps import TappedChain, add_attention
from models.nets.layers import (
    NORMS,
    apply_spectral_norm,
    batched_forward,
    get_norm_layer,
    receptive_field,
    singular_values,
    spectral_layers,
)
from models.nets.losses import GANLoss
from models.nets.patchgan import NLayerDiscriminator, PixelDiscriminator
from models.nets.resnet import ResnetBlock, ResnetGenerator
from models.nets.unet import UnetGenerator, UnetSkipConnectionBlock
from models.training.penalties import gradient_penalty, r1_penalty
from util.errors import UserError
from util.plugins import unknown

families.load()
_IMAGE_FAMILIES = [family for family in FAMILIES.values() if family.source == "image"]
# name -> (input_nc, output_nc, ngf, norm layer, use_dropout) -> net; read-only, families are added by register()
GENERATORS = MappingProxyType(
    {family.name: family.generator for family in _IMAGE_FAMILIES if family.generator}
)
# name -> (input_nc, ndf, n_layers, norm layer) -> net
DISCRIMINATORS = MappingProxyType(
    {family.name: family.discriminator for family in _IMAGE_FAMILIES if family.discriminator}
)
together = batched_forward  # its earlier name, for plugins


# ---------------------------------------------------------------------- image to image


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
    *,
    padding_type: str = "reflect",
) -> nn.Module:
    """An initialised generator by name: (N, input_nc, H, W) -> (N, output_nc, H, W), both in [-1, 1].

    `gpu_ids` is ignored; it keeps the signature of upstream (pytorch-CycleGAN-and-pix2pix). Only families with an
    argument `padding_type` can have one other than reflect.

    Raises:
        ValueError: unknown name.
    """
    own = {} if padding_type == "reflect" else {"padding_type": padding_type}
    net = _look_up(GENERATORS, netG)(input_nc, output_nc, ngf, get_norm_layer(norm), use_dropout, **own)
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

    Only `n_layers` reads `n_layers_D`. `gpu_ids` is ignored, as in define_G.

    Raises:
        ValueError: unknown name.
    """
    net = _look_up(DISCRIMINATORS, netD)(input_nc, ndf, n_layers_D, get_norm_layer(norm))
    return init_weights(net, init_type, init_gain)


def generator_from(opt: Namespace, input_nc: int, output_nc: int) -> nn.Module:
    """The generator that --netG, --ngf, --norm, --no_dropout, --padding_type, --init_type and --init_gain describe."""
    shape = (input_nc, output_nc, opt.ngf, opt.netG, opt.norm, not opt.no_dropout)
    return define_G(*shape, opt.init_type, opt.init_gain, padding_type=opt.padding_type)


def discriminator_from(opt: Namespace, input_nc: int) -> nn.Module:
    """The discriminator that --netD, --ndf, --n_layers_D, --norm, --init_type and --init_gain describe."""
    return define_D(input_nc, opt.ndf, opt.netD, opt.n_layers_D, opt.norm, opt.init_type, opt.init_gain)


# ---------------------------------------------------------------------- noise to image


def noise_generator_from(opt: Namespace, **own: object) -> nn.Module:
    """The generator --netG: z (N, z_dim), label (N,) -> images (N, output_nc, S, S), with torch's initial weights.

    `own` are arguments that only this family has.
    """
    sizes = {"z_dim": opt.z_dim, "ngf": opt.ngf, "output_nc": opt.output_nc}
    return _from_noise(FAMILIES[opt.netG].generator, opt, sizes, own)


def noise_discriminator_from(opt: Namespace, **own: object) -> nn.Module:
    """The discriminator --netD: images (N, output_nc, S, S), label (N,) -> logits (N,); see noise_generator_from."""
    sizes = {"ndf": opt.ndf, "input_nc": opt.output_nc}
    return _from_noise(FAMILIES[opt.netD].discriminator, opt, sizes, own)


def _from_noise(
    build: Callable[..., nn.Module] | None, opt: Namespace, sizes: dict[str, int], own: dict[str, object]
) -> nn.Module:
    """Call `build` with `own` and with those of the shared arguments that its signature has."""
    assert build is not None
    norm = get_norm_layer(opt.norm)
    shared = sizes | {"size": opt.image_side, "norm": norm, "n_classes": opt.n_classes}
    parameters = inspect.signature(build).parameters
    return build(**{name: value for name, value in shared.items() if name in parameters}, **own)


# ---------------------------------------------------------------------- checks


def check_attention(flag: str, name: str, places_flag: str, places: Collection[str]) -> None:
    """Refuse `places` for attention, given by `places_flag`, that the family `name`, given by `flag`, does not have."""
    known = FAMILIES[name].attention_places
    if places and not known:
        table = GENERATORS if flag == "--netG" else DISCRIMINATORS
        others = [other for other in table if FAMILIES[other].attention_places]
        raise UserError(
            f"{flag} {name} has no place for attention: use {flag} {' or '.join(others)}, or {places_flag} none"
        )
    for place in places:
        if place not in known:
            raise UserError(f"{places_flag} {place} is unknown; known: {', '.join(known)}, none")


def check_options(opt: Namespace, allowed: Collection[str] | None = None) -> None:
    """check() for --netG, --netD, --n_layers_D, --norm, --init_type, --padding_type and the side of the images.

    `allowed` are the families that the model can use; None = all image-to-image families.
    """
    for flag, name, table in (("--netG", opt.netG, GENERATORS), ("--netD", opt.netD, DISCRIMINATORS)):
        starts_from_noise = name in FAMILIES and FAMILIES[name].source == "noise"
        if name not in allowed if allowed is not None else starts_from_noise:
            use = " or ".join(table if allowed is None else allowed)
            reason = " because it starts from noise" if starts_from_noise and allowed is None else ""
            raise UserError(f"{flag} {name} cannot be used with --model {opt.model}{reason}: use {use}")
    names = ("netG", "netD", "n_layers_D", "norm", "init_type", "padding_type")
    check(**{name: getattr(opt, name) for name in names}, side=opt.image_side, allowed=allowed)


def check(
    *,
    netG: str,
    norm: str,
    init_type: str,
    netD: str | None = None,
    side: int | None = None,
    n_layers_D: int = 3,
    padding_type: str = "reflect",
    allowed: Collection[str] | None = None,
) -> None:
    """Raise UserError for unknown names, and for images whose side in pixels (None = sides differ) the nets cannot take.

    Only generators whose constructor has an argument `padding_type` can have one other than reflect.

    `allowed` are the names that --netG and --netD can have; None = all image-to-image families.
    """
    chosen: list[tuple[str, str | None, Collection[str]]] = [
        ("--netG", netG, GENERATORS if allowed is None else allowed),
        ("--netD", netD, DISCRIMINATORS if allowed is None else allowed),
        ("--norm", norm, NORMS),
        ("--init_type", init_type, ["default", *INITS]),
    ]
    for flag, name, table in chosen:
        if name is not None and name not in table:
            raise UserError(unknown(flag, name, table))
    build = FAMILIES[netG].generator
    assert build is not None
    if padding_type != "reflect" and "padding_type" not in inspect.signature(build).parameters:
        raise UserError(
            f"--padding_type {padding_type} has no effect on --netG {netG}: leave it out, or use --netG resnet_9blocks"
        )
    for flag, name, table in chosen[:2]:
        if name and side and (reason := FAMILIES[name].why_not(side, n_layers_D)):
            others = [other for other in table if not FAMILIES[other].why_not(side, n_layers_D)]
            remedy = f", or {flag} {' or '.join(others)}" if others else ""
            raise UserError(f"{flag} {name} {reason}{remedy}")


def _look_up(table: Mapping[str, Callable[..., nn.Module]], name: str) -> Callable[..., nn.Module]:
    if name not in table:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(table)}")
    return table[name]
