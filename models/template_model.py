"""A template for a new model: regression from A to B.

Copy this file to models/<name>_model.py, or to a folder of your own that you name with --plugin_path.
Call the class <Name>Model, and train it with --model <name>. docs/plugins.md explains the contract.
"""

from argparse import ArgumentParser, Namespace

import torch.nn.functional as F
from torch import Tensor

from models import networks
from models.base_model import BaseModel, Batch, Terms


class TemplateModel(BaseModel):
    """G: A -> B, minimising lambda_regression * |G(A) - B|."""

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the flags of this model, and change defaults of the shared flags."""
        parser.set_defaults(dataset_mode="aligned", no_dropout=True)
        if is_train:
            parser.add_argument("--lambda_regression", type=float, default=1.0, help="weight of |G(A) - B|")
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        """Raise UserError for options that cannot work; called before anything is built."""
        networks.check(netG=opt.netG, norm=opt.norm, init_type=opt.init_type, side=opt.image_side)

    def __init__(self, opt: Namespace) -> None:
        """Build the nets, and say which of them learn from which loss terms."""
        super().__init__(opt)
        net = networks.generator_from(opt, opt.input_nc, opt.output_nc)
        self.G = self.add_net("G", net, role="generator")
        if self.is_train:
            self.add_phase("G", self.terms_G, ["G"], lr=opt.lr_G)

    def set_input(self, batch: Batch) -> None:
        """Keep what the other methods need of a batch of the data set."""
        self.real_A, self.real_B = self.pair(batch)

    def forward(self) -> None:
        """Compute the images; called in training and at test time."""
        self.fake_B = self.G(self.real_A)

    def terms_G(self) -> Terms:
        """Return named loss terms; each is logged, and their sum is minimised."""
        return {"G": self.opt.lambda_regression * F.l1_loss(self.fake_B, self.real_B)}

    def visuals(self) -> dict[str, Tensor]:
        """Return label -> images (N, C, H, W) in [-1, 1], for the pages."""
        return {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}
