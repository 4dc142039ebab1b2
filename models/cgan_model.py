"""Conditional GAN: both nets get the class as input (Mirza & Osindero 2014, arXiv:1411.1784); convolutions of DCGAN."""

from argparse import ArgumentParser, Namespace
from typing import Any

from models.latent_model import LatentModel
from util.errors import UserError


class CGANModel(LatentModel):
    """min_G max_D  E log D(x|y) + E log(1 - D(G(z|y)|y))  (Eq. 2), with the non-saturating loss of the generator.

    The class is given as a one-hot vector, as a learned vector (embed), or to the discriminator as a projection
    (Miyato & Koyama 2018, arXiv:1802.05637). `--netG cgan_mlp` is the network of the paper.
    """

    families = ("dcgan", "cgan_mlp")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser = LatentModel.modify_commandline_options(parser, is_train)
        parser.set_defaults(netG="dcgan", load_size=32, crop_size=32)
        if is_train:
            parser.set_defaults(dataset_mode="labeled")
        parser.add_argument(
            "--cond",
            choices=("onehot", "embed", "projection"),
            default="onehot",
            help="how the nets get the class: as a one-hot vector, as a learned vector (embed), or by projection in the "
            "discriminator",
        )
        known, _ = parser.parse_known_args()
        parser.set_defaults(netD=known.netG)
        return parser

    @classmethod
    def check_options(cls, opt: Namespace) -> None:
        super().check_options(opt)
        if opt.netG != opt.netD:
            raise UserError(f"--netD {opt.netD} and --netG {opt.netG} must be the same")
        if not opt.n_classes:
            raise UserError(
                f"--model cgan needs labels, but {opt.dataroot or 'the run'} has none: use a --dataroot with one folder "
                "for each class (--dataset_mode labeled), or --model dcgan"
            )

    def family_arguments(self, net: str) -> dict[str, Any]:
        return {} if self.opt.netG == "cgan_mlp" else {"cond": self.opt.cond}
