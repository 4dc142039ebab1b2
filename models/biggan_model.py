"""BigGAN: residual blocks, shared class embedding, split noise, large batches (Brock et al. 2019, arXiv:1809.11096)."""

from argparse import ArgumentParser, Namespace
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
from util.cli.flag_types import number, whole
from util.cli.image_side import image_side

# by the side of images; each splits into one chunk for each block and one more
Z_DIMS = {32: 128, 64: 120, 128: 120, 256: 140}


class BigGANModel(LatentModel):
    """Hinge loss, two steps of D (rate 2e-4) for one of G (5e-5), orthogonal regularisation, averaged generator.

    Without labels, z alone determines the gains and biases of the norms. The default at 32 pixels is the
    architecture for CIFAR-10: z is not split, each norm has its own embedding, and there is no attention.
    """

    families = ("biggan",)

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser = LatentModel.modify_commandline_options(parser, is_train)
        parser.set_defaults(netG="biggan", netD="biggan", init_type="orthogonal", init_gain=1.0)
        if is_train:
            parser.set_defaults(dataset_mode="labeled", gan_mode="hinge", n_critic=2)
            parser.set_defaults(lr_G=5e-5, lr_D=2e-4, beta1=0.0, ema_decay=0.9999, ortho_G=1e-4)
        else:
            parser.set_defaults(standing_stats=16)  # training measures no statistics for averaged weights
        add_attention_flags(parser, is_train)
        add_spectral_flags(parser, is_train)
        known, _ = parser.parse_known_args()
        side = image_side(known.preprocess, load_size=known.load_size, crop_size=known.crop_size)
        small = side == 32
        parser.set_defaults(z_dim=Z_DIMS.get(side or 0, 120))  # other sides are refused later
        parser.add_argument(
            "--hierarchical",
            type=str.lower,
            choices=("true", "false"),
            default="false" if small else "true",
            help="split z into one chunk for the first layer and one for each block, which modulates the block's norms",
        )
        parser.add_argument(
            "--shared_dim",
            type=whole(0),
            default=0 if small else 128,
            help="length of the class embedding that all norms share; 0 means a separate embedding for each norm",
        )
        parser.add_argument(
            "--norm_eps",
            type=number(above=0),
            default=1e-5,
            help="number that the conditional norms add to the variance; the paper has 1e-4",
        )
        return parser

    @classmethod
    def check_options(cls, opt: Namespace) -> None:
        super().check_options(opt)
        check_attention(opt)
        refuse_gradient_penalty(opt, "the spectral norm of --model biggan", "--lambda_gp 0")

    def family_arguments(self, net: str) -> dict[str, Any]:
        attention = {"attn_res": attention_sides(self.opt, net)}
        split = {"hierarchical": self.opt.hierarchical == "true", "shared_dim": self.opt.shared_dim}
        return attention | split | {"norm_eps": self.opt.norm_eps} if net == "G" else attention

    def normalised(self, net: nn.Module) -> nn.Module:
        return networks.apply_spectral_norm(net, **spectral_arguments(self.opt))
