"""pix2pix: image translation from pairs (Isola et al. 2017, arXiv:1611.07004)."""

from argparse import ArgumentParser, Namespace

import torch
import torch.nn.functional as F
from torch import Tensor

from models import networks
from models.base_model import BaseModel, Batch, Terms


class Pix2PixModel(BaseModel):
    """G: A -> B; D judges pairs (A, B) and (A, G(A))."""

    # the order upstream logs them in
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
        net_G = networks.generator_from(opt, opt.input_nc, opt.output_nc)
        self.G = self.add_net("G", net_G, role="generator")
        if self.is_train:
            net_D = networks.discriminator_from(opt, opt.input_nc + opt.output_nc)
            self.D = self.add_net("D", net_D, role="discriminator")
            self.gan = networks.GANLoss(opt.gan_mode)
            self.add_discriminator_phase(
                "D",
                self.gan.discriminator,
                ["D"],
                real=lambda: {"D": self.real_pair()},
                fake=lambda: {"D": self.fake_pair()},
                lr=opt.lr_D,
                scale=0.5,  # Section 3.3 halves it so that D learns more slowly than G
            )
            self.add_phase("G", self.terms_G, ["G"], lr=opt.lr_G)

    def set_input(self, batch: Batch) -> None:
        self.real_A, self.real_B = self.pair(batch)

    def forward(self) -> None:
        self.fake_B = self.G(self.real_A)

    def real_pair(self) -> Tensor:
        """The input and the output, concatenated: (N, input_nc + output_nc, H, W)."""
        return torch.cat([self.real_A, self.real_B], dim=1)

    def fake_pair(self) -> Tensor:
        return torch.cat([self.real_A, self.fake_B], dim=1)

    def terms_G(self) -> Terms:
        """Eq. 4: L_cGAN(G, D) + lambda_L1 L_L1(G)."""
        return {
            "G_GAN": self.gan.generator(self.D(self.fake_pair())),
            "G_L1": self.opt.lambda_L1 * F.l1_loss(self.fake_B, self.real_B),
        }

    def visuals(self) -> dict[str, Tensor]:
        return {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}
