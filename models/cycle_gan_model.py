"""CycleGAN: image translation without pairs (Zhu et al. 2017, arXiv:1703.10593)."""

from argparse import ArgumentParser, Namespace

import torch.nn.functional as F
from torch import Tensor, nn

from models import networks
from models.base_model import BaseModel, Batch, Terms
from util.errors import UserError
from util.image_pool import ImagePool


class CycleGANModel(BaseModel):
    """G_A: A -> B and G_B: B -> A; D_A judges images of B, D_B those of A (in the paper G, F, D_Y, D_X).

    The generators learn before the discriminators, as upstream; see BaseModel on --accumulate.
    """

    # the order upstream logs them in
    loss_names = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.set_defaults(no_dropout=True)  # unlike pix2pix, CycleGAN has no dropout in its generators
        if is_train:
            parser.add_argument("--lambda_A", type=float, default=10.0, help="weight of |G_B(G_A(A)) - A|")
            parser.add_argument("--lambda_B", type=float, default=10.0, help="weight of |G_A(G_B(B)) - B|")
            parser.add_argument(
                "--lambda_identity",
                type=float,
                default=0.5,
                help="weight of |G_A(B) - B| and |G_B(A) - A| relative to --lambda_A and --lambda_B; 0 turns it off",
            )
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        networks.check_options(opt)
        if opt.isTrain and opt.lambda_identity > 0 and opt.input_nc != opt.output_nc:
            raise UserError(
                f"--lambda_identity {opt.lambda_identity} compares images of both domains, so --input_nc {opt.input_nc} "
                f"and --output_nc {opt.output_nc} must be equal: use --lambda_identity 0"
            )

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.G_A = self.add_net("G_A", self.generator(opt.input_nc, opt.output_nc), role="generator")
        self.G_B = self.add_net("G_B", self.generator(opt.output_nc, opt.input_nc), role="generator")
        if self.is_train:
            self.D_A = self.add_net("D_A", self.discriminator(opt.output_nc), role="discriminator")
            self.D_B = self.add_net("D_B", self.discriminator(opt.input_nc), role="discriminator")
            self.gan = networks.GANLoss(opt.gan_mode)
            self.pool_A, self.pool_B = ImagePool(opt.pool_size), ImagePool(opt.pool_size)
            self.add_state("pool_A", self.pool_A)
            self.add_state("pool_B", self.pool_B)
            self.add_phase("G", self.terms_G, ["G_A", "G_B"], lr=opt.lr_G)
            self.add_discriminator_phase(
                "D",
                self.gan.discriminator,
                ["D_A", "D_B"],
                real=self.real_for_D,
                fake=self.fake_for_D,
                lr=opt.lr_D,
                scale=0.5,  # the appendix, Section 7.1, halves it so that D learns more slowly than G
                log_sums=True,  # upstream logs one number for each discriminator
            )

    def generator(self, input_nc: int, output_nc: int) -> nn.Module:
        return networks.generator_from(self.opt, input_nc, output_nc)

    def discriminator(self, input_nc: int) -> nn.Module:
        return networks.discriminator_from(self.opt, input_nc)

    def set_input(self, batch: Batch) -> None:
        self.real_A, self.real_B = self.pair(batch)

    def forward(self) -> None:
        """Translations G_A(A), reconstructions G_B(G_A(A)) and, in training, identities G_A(B); and the other way."""
        self.has_identity = self.is_train and self.opt.lambda_identity > 0
        if self.has_identity:  # each generator runs once on the images of both domains
            self.fake_B, self.idt_A = networks.batched_forward(self.G_A, self.real_A, self.real_B)
            self.fake_A, self.idt_B = networks.batched_forward(self.G_B, self.real_B, self.real_A)
        else:
            self.fake_B, self.fake_A = self.G_A(self.real_A), self.G_B(self.real_B)
        self.rec_A, self.rec_B = self.G_B(self.fake_B), self.G_A(self.fake_A)

    def terms_G(self) -> Terms:
        """Eq. 3: L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc(G, F), and L_identity of Section 5.2."""
        lambda_A, lambda_B = self.opt.lambda_A, self.opt.lambda_B
        terms = {
            "G_A": self.gan.generator(self.D_A(self.fake_B)),  # Eq. 1
            "cycle_A": lambda_A * F.l1_loss(self.rec_A, self.real_A),  # Eq. 2
            "G_B": self.gan.generator(self.D_B(self.fake_A)),
            "cycle_B": lambda_B * F.l1_loss(self.rec_B, self.real_B),
        }
        if self.has_identity:
            terms["idt_A"] = self.opt.lambda_identity * lambda_B * F.l1_loss(self.idt_A, self.real_B)
            terms["idt_B"] = self.opt.lambda_identity * lambda_A * F.l1_loss(self.idt_B, self.real_A)
        return terms

    def real_for_D(self) -> dict[str, Tensor]:
        return {"D_A": self.real_B, "D_B": self.real_A}

    def fake_for_D(self) -> dict[str, Tensor]:
        """New fakes, half of them replaced by earlier ones (Section 4), which reduces oscillation."""
        return {"D_A": self.pool_B.query(self.fake_B), "D_B": self.pool_A.query(self.fake_A)}

    def visuals(self) -> dict[str, Tensor]:
        shown_A = {"real_A": self.real_A, "fake_B": self.fake_B, "rec_A": self.rec_A}
        shown_B = {"real_B": self.real_B, "fake_A": self.fake_A, "rec_B": self.rec_B}
        if self.has_identity:  # idt_B = G_B(A) is shown next to A, as upstream
            shown_A["idt_B"], shown_B["idt_A"] = self.idt_B, self.idt_A
        return shown_A | shown_B
