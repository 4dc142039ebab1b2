"""What flags of training need of a model: a flag without effect is refused before training starts."""

import sys
from argparse import Namespace
from collections.abc import Collection
from pathlib import Path

from util.errors import UserError

PENALTY = "a phase of add_discriminator_phase"


def check_flags(
    model: object, opt: Namespace, roles: Collection[str], penalties: Collection[str], *, averaged: bool
) -> None:
    """Raise UserError for a flag that has no effect on `model`, which has these roles and penalties.

    `averaged` tells whether the weights of a network are averaged.
    """
    discriminator, generator = (f'a network with role="{role}"' for role in ("discriminator", "generator"))
    needs = {
        "r1_gamma": ("r1_gamma" in penalties, PENALTY),
        "lambda_gp": ("lambda_gp" in penalties, PENALTY),
        "diffaug": ("discriminator" in roles, discriminator),
        "ortho_D": ("discriminator" in roles, discriminator),
        "ortho_G": ("generator" in roles, generator),
        "ema_decay": (averaged, "a network whose weights are averaged"),
        "ema_start": (averaged, "a network whose weights are averaged, with --ema_decay"),
    }
    for flag, (is_met, need) in needs.items():
        value = getattr(opt, flag)
        if value and not is_met and not _reads(model, flag):
            words = ",".join(value) if flag == "diffaug" else value
            wgan = flag == "lambda_gp" and opt.gan_mode == "wgangp"
            remedy = "leave it out" + ", as well as --gan_mode wgangp, which sets it" * wgan
            raise UserError(
                f"--{flag} {words} needs {need}, which --model {opt.model} does not have: {remedy}"
            )


def _reads(model: object, flag: str) -> bool:
    """Whether the plugin's own text reads a flag, as plugins do that apply a penalty themselves."""
    modules = {kind.__module__ for kind in type(model).__mro__}
    own = (name for name in modules if name.split(".")[-1] not in ("base_model", "step", "builtins", "abc"))
    sources = (getattr(sys.modules[name], "__file__", None) for name in own)
    return any(f"opt.{flag}" in Path(source).read_text(encoding="utf-8") for source in sources if source)
