"""SAGAN: self-attention and spectral norm in both nets (Zhang et al. 2019, arXiv:1805.08318)."""

from argparse import ArgumentParser, Namespace
from functools import cache
from typing import Any

from torch import nn

from models import networks
from models.latent_flags import (
    add_attention_flags,
    add_spectral_flags,
    attention_sides,
    check_attention,
    refuse_gradient_penalty,
    spectral_arguments,
)
from models.latent_model import LatentModel
from util import log
from util.errors import UserError


class SAGANModel(LatentModel):
    """Hinge loss (Eq. 4), Adam with betas (0, 0.9) and learning rates of 4e-4 for D and 1e-4 for G (Section 5).

    With labels, the generator has class-conditional batch norm and the discriminator a projection of the class.
    """

    families = ("sagan",)

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser = LatentModel.modify_commandline_options(parser, is_train)
        parser.set_defaults(netG="sagan", netD="sagan", z_dim=128, init_type="xavier", init_gain=1.0)
        if is_train:
            parser.set_defaults(gan_mode="hinge", ema_decay=0.9999)
            parser.set_defaults(lr_G=1e-4, lr_D=4e-4, beta1=0.0, beta2=0.9)
        add_attention_flags(parser, is_train)
        add_spectral_flags(parser, is_train)
        parser.add_argument(
            "--attn_form",
            choices=("plain", "pooled"),
            default="plain",
            help="keys and values of attention: at full resolution (plain), or max-pooled 2x2 (pooled)",
        )
        parser.add_argument(
            "--upsample",
            choices=("deconv", "nearest"),
            default="deconv",
            help="upsampling in the generator: a transposed convolution, or nearest neighbour and then a convolution",
        )
        parser.add_argument(
            "--sn_scope",
            type=sn_scope,
            choices=("all", "blocks", "none"),
            default="all",
            help="layers with spectral norm: all, as in the paper; blocks (all but the last layer and attention), as in "
            "heykeetae/Self-Attention-GAN; or none",
        )
        parser.add_argument(
            "--sn_rows",
            choices=("out", "in"),
            default="out",
            help="rows of a transposed convolution's matrix in spectral norm: its output channels (out), or its input "
            "channels (in), as in heykeetae/Self-Attention-GAN",
        )
        if not is_train:
            parser.set_defaults(standing_stats=16)  # training measures no statistics for averaged weights
        return parser

    @classmethod
    def check_options(cls, opt: Namespace) -> None:
        super().check_options(opt)
        check_attention(opt)
        if opt.sn_scope != "none":
            refuse_gradient_penalty(opt, f"--sn_scope {opt.sn_scope}", "one of them, e.g. --sn_scope none")
        elif opt.num_SVs or vars(opt).get("sn_update") == "forward":
            raise UserError(
                f"--num_SVs {opt.num_SVs} and --sn_update need spectral norm, which --sn_scope none turns off: leave them out"
            )

    def family_arguments(self, net: str) -> dict[str, Any]:
        attention = {"attn_res": attention_sides(self.opt, net), "pooled": self.opt.attn_form == "pooled"}
        return attention | ({"upsample": self.opt.upsample} if net == "G" else {})

    def normalised(self, net: nn.Module) -> nn.Module:
        """Spectral norm in both nets (Section 4.1)."""
        if self.opt.sn_scope == "none":
            return net
        layers = networks.spectral_layers(net, self.opt.sn_scope)
        return networks.apply_spectral_norm(
            net, layers, rows=self.opt.sn_rows, **spectral_arguments(self.opt)
        )


@cache  # the hint appears once, although the word is read several times
def sn_scope(word: str) -> str:
    """The type of --sn_scope, which takes `seed`, the former name of `blocks`, with a hint."""
    if word == "seed":
        log.warn("--sn_scope seed is an old name of --sn_scope blocks, which is used instead")
        return "blocks"
    return word
