"""pix2pix: image translation from pairs (Isola et al. 2017, arXiv:1611.07004)."""

from argparse import ArgumentParser, Namespace

import torch
import torch.nn.functional as F
from torch import Tensor

from models import networks
from models.base_model import BaseModel, Batch, Terms


class Pix2PixModel(BaseModel):
    """G: A -> B, with D judging pairs (A, B):  GAN(G, D) + lambda_L1 * |G(A) - B|."""

    loss_names = ("G_GAN", "G_L1", "D_real", "D_fake")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.set_defaults(norm="batch", netG="unet_256", dataset_mode="aligned")
        if is_train:
            parser.set_defaults(pool_size=0, gan_mode="vanilla")
            parser.add_argument("--lambda_L1", type=float, default=100.0, help="weight of |G(A) - B|")
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        networks.check_options(opt)

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.G = self.add_net("G", networks.generator_from(opt, opt.input_nc, opt.output_nc), ema=True)
        if self.is_train:
            self.D = self.add_net("D", networks.discriminator_from(opt, opt.input_nc + opt.output_nc))
            self.gan = networks.GANLoss(opt.gan_mode, lambda_gp=opt.lambda_gp)
            self.add_phase("D", self.terms_D, ["D"], lr=opt.lr_D, scale=0.5)
            if opt.r1_gamma > 0:
                every = opt.r1_every
                self.add_phase("D_r1", self.terms_r1, ["D"], lr=opt.lr_D, every=every, scale=0.5 * every)
            self.add_phase("G", self.terms_G, ["G"], lr=opt.lr_G)

    def set_input(self, batch: Batch) -> None:
        self.real_A, self.real_B = self.pair(batch)

    def forward(self) -> None:
        self.fake_B = self.G(self.real_A)

    def terms_D(self) -> Terms:
        fake = torch.cat([self.real_A, self.fake_B.detach()], dim=1)
        terms = self.gan.discriminator(self.D, self.real_pair(), fake)
        return {f"D_{name}": term for name, term in terms.items()}

    def terms_r1(self) -> Terms:
        return {"D_r1": self.opt.r1_gamma * networks.r1_penalty(self.D, self.real_pair())}

    def real_pair(self) -> Tensor:
        return torch.cat([self.real_A, self.real_B], dim=1)

    def terms_G(self) -> Terms:
        logits = self.D(torch.cat([self.real_A, self.fake_B], dim=1))
        return {
            "G_GAN": self.gan.generator(logits),
            "G_L1": self.opt.lambda_L1 * F.l1_loss(self.fake_B, self.real_B),
        }

    def visuals(self) -> dict[str, Tensor]:
        return {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}
