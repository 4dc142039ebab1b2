"""DCGAN: images from noise by convolutions alone (Radford et al. 2016, arXiv:1511.06434)."""

from argparse import ArgumentParser, Namespace

from models.latent_model import LatentModel
from util.errors import UserError


class DCGANModel(LatentModel):
    """The paper's training: non-saturating loss, initial weights N(0, 0.02), Adam with rate 2e-4 and beta1 0.5."""

    families = ("dcgan",)

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser = LatentModel.modify_commandline_options(parser, is_train)
        parser.set_defaults(netG="dcgan", netD="dcgan", n_classes=0)
        return parser

    @classmethod
    def check_options(cls, opt: Namespace) -> None:
        super().check_options(opt)
        if opt.n_classes:
            raise UserError(f"--n_classes {opt.n_classes}: --model dcgan has no classes; use --model cgan")
