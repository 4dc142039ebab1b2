"""CycleGAN: image translation without pairs (Zhu et al. 2017, arXiv:1703.10593)."""

from argparse import ArgumentParser, Namespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import networks
from models.base_model import BaseModel, Batch, Terms
from util.errors import UserError
from util.image_pool import ImagePool


class CycleGANModel(BaseModel):
    """G_A: A -> B and G_B: B -> A; D_A judges B, D_B judges A (the paper's G, F, D_Y, D_X).

    The generators learn first, as in the original; see BaseModel on what that means for --accumulate.
    """

    loss_names = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.set_defaults(no_dropout=True)
        if is_train:
            parser.add_argument("--lambda_A", type=float, default=10.0, help="weight of |G_B(G_A(A)) - A|")
            parser.add_argument("--lambda_B", type=float, default=10.0, help="weight of |G_A(G_B(B)) - B|")
            parser.add_argument(
                "--lambda_identity",
                type=float,
                default=0.5,
                help="weight of |G_A(B) - B| and |G_B(A) - A| relative to the cycle's; 0 turns it off",
            )
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        networks.check_options(opt)
        if opt.isTrain and opt.lambda_identity > 0 and opt.input_nc != opt.output_nc:
            raise UserError(
                f"--lambda_identity {opt.lambda_identity} compares images of both domains, which needs --input_nc "
                f"{opt.input_nc} and --output_nc {opt.output_nc} to be equal: use --lambda_identity 0"
            )

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.G_A = self.add_net("G_A", self.generator(opt.input_nc, opt.output_nc), ema=True)
        self.G_B = self.add_net("G_B", self.generator(opt.output_nc, opt.input_nc), ema=True)
        if self.is_train:
            self.D_A = self.add_net("D_A", self.discriminator(opt.output_nc))
            self.D_B = self.add_net("D_B", self.discriminator(opt.input_nc))
            self.gan = networks.GANLoss(opt.gan_mode, lambda_gp=opt.lambda_gp)
            self.pool_A, self.pool_B = ImagePool(opt.pool_size), ImagePool(opt.pool_size)
            self.add_state("pool_A", self.pool_A)
            self.add_state("pool_B", self.pool_B)
            self.add_phase("G", self.terms_G, ["G_A", "G_B"], lr=opt.lr_G)
            self.add_phase("D", self.terms_D, ["D_A", "D_B"], lr=opt.lr_D)
            if opt.r1_gamma > 0:
                every = opt.r1_every
                self.add_phase("D_r1", self.terms_r1, ["D_A", "D_B"], lr=opt.lr_D, every=every, scale=every)

    def generator(self, input_nc: int, output_nc: int) -> nn.Module:
        return networks.generator_from(self.opt, input_nc, output_nc)

    def discriminator(self, input_nc: int) -> nn.Module:
        return networks.discriminator_from(self.opt, input_nc)

    def set_input(self, batch: Batch) -> None:
        self.real_A, self.real_B = self.pair(batch)

    def forward(self) -> None:
        self.wants_identity = self.is_train and self.opt.lambda_identity > 0
        if self.wants_identity:
            self.fake_B, self.idt_A = networks.batched_forward(self.G_A, self.real_A, self.real_B)
            self.fake_A, self.idt_B = networks.batched_forward(self.G_B, self.real_B, self.real_A)
        else:
            self.fake_B, self.fake_A = self.G_A(self.real_A), self.G_B(self.real_B)
        self.rec_A, self.rec_B = self.G_B(self.fake_B), self.G_A(self.fake_A)

    def terms_G(self) -> Terms:
        weight_A, weight_B = self.opt.lambda_A, self.opt.lambda_B
        terms = {
            "G_A": self.gan.generator(self.D_A(self.fake_B)),
            "cycle_A": weight_A * F.l1_loss(self.rec_A, self.real_A),
            "G_B": self.gan.generator(self.D_B(self.fake_A)),
            "cycle_B": weight_B * F.l1_loss(self.rec_B, self.real_B),
        }
        if self.wants_identity:
            terms["idt_A"] = self.opt.lambda_identity * weight_B * F.l1_loss(self.idt_A, self.real_B)
            terms["idt_B"] = self.opt.lambda_identity * weight_A * F.l1_loss(self.idt_B, self.real_A)
        return terms

    def terms_D(self) -> Terms:
        on_B = self.gan.discriminator(self.D_A, self.real_B, self.pool_B.query(self.fake_B))
        on_A = self.gan.discriminator(self.D_B, self.real_A, self.pool_A.query(self.fake_A))
        return {
            "D_A": 0.5 * torch.stack([*on_B.values()]).sum(),
            "D_B": 0.5 * torch.stack([*on_A.values()]).sum(),
        }

    def terms_r1(self) -> Terms:
        return {
            "D_A_r1": self.opt.r1_gamma * networks.r1_penalty(self.D_A, self.real_B),
            "D_B_r1": self.opt.r1_gamma * networks.r1_penalty(self.D_B, self.real_A),
        }

    def visuals(self) -> dict[str, Tensor]:
        shown_A = {"real_A": self.real_A, "fake_B": self.fake_B, "rec_A": self.rec_A}
        shown_B = {"real_B": self.real_B, "fake_A": self.fake_A, "rec_B": self.rec_B}
        if self.wants_identity:  # idt_B = G_B(A) belongs beside A, as in the classic
            shown_A["idt_B"], shown_B["idt_A"] = self.idt_B, self.idt_A
        return shown_A | shown_B
