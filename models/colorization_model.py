"""Colorization: pix2pix from lightness to colour in Lab space (after Zhang et al. 2016, arXiv:1603.08511)."""

from argparse import ArgumentParser, Namespace

from torch import Tensor

from models.pix2pix_model import Pix2PixModel
from util.errors import UserError
from util.imaging.lab_color import lab_to_rgb


class ColorizationModel(Pix2PixModel):
    """G: lightness L (N, 1, H, W) -> colour ab (N, 2, H, W), both scaled to [-1, 1]."""

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser = Pix2PixModel.modify_commandline_options(parser, is_train)
        parser.set_defaults(dataset_mode="colorization")
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        Pix2PixModel.check_options(opt)
        if (opt.input_nc, opt.output_nc) != (1, 2):
            raise UserError(
                f"--model colorization translates 1 channel to 2, not --input_nc {opt.input_nc} to --output_nc "
                f"{opt.output_nc}: use --dataset_mode colorization, which sets them"
            )

    def visuals(self) -> dict[str, Tensor]:
        return {
            "real_A": self.real_A,
            "real_B_rgb": lab_to_rgb(self.real_A, self.real_B),
            "fake_B_rgb": lab_to_rgb(self.real_A, self.fake_B),
        }
