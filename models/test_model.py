"""One generator of a trained translator, for a folder of single images or one image."""

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from torch import Tensor

from models import networks
from models.base_model import BaseModel, Batch
from models.cycle_gan_attn_model import add_generator_flags, attend_in_generator, check_generator
from util.errors import UserError
from util.run.weight_files import prefix, saved


class TestModel(BaseModel):
    """Loads `<epoch>_net_G<model_suffix>.pth` only.

    Of the two generators of a CycleGAN, --direction chooses one: G_A for the direction of its training, which is AtoB
    by default, and G_B for the other. --model_suffix _A or _B, as in upstream, has priority.
    """

    __test__ = False  # pytest would take the name for a test case

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        if is_train:
            raise UserError("--model test cannot be trained: run test.py, or train another --model")
        parser.set_defaults(dataset_mode="single")
        about = "_A or _B: which generator of a CycleGAN (default: the one of --direction)"
        parser.add_argument("--model_suffix", default="", help=about)
        add_generator_flags(parser, place="none")
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        if not re.fullmatch(r"\w*", opt.model_suffix):
            raise UserError(f"--model_suffix {opt.model_suffix} must be letters or _, as in _A")
        if not opt.model_suffix:
            _choose_generator(opt)
        names = {name: getattr(opt, name) for name in ("netG", "norm", "init_type", "padding_type")}
        networks.check(**names, side=opt.image_side)
        check_generator(opt)

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        net = networks.generator_from(opt, opt.input_nc, opt.output_nc)
        self.G = self.add_net(f"G{opt.model_suffix}", attend_in_generator(net, opt), role="generator")

    def set_input(self, batch: Batch) -> None:
        self.real = self.checked_images(batch["A"], "input_nc")

    def forward(self) -> None:
        self.fake = self.G(self.real)

    def visuals(self) -> dict[str, Tensor]:
        return {"real": self.real, "fake": self.fake}


def _choose_generator(opt: Namespace) -> None:
    """Set `model_suffix` if the run has the generators G_A and G_B; the input of G_B has the channels of A's output."""
    start = prefix(opt.epoch, opt.load_iter)
    nets = {net for other, net in saved(Path(opt.checkpoints_dir) / opt.name) if other == start}
    if "G" in nets or not nets & {"G_A", "G_B"}:
        return
    opt.model_suffix = "_B" if opt.reversed else "_A"
    if opt.reversed:
        opt.input_nc, opt.output_nc = opt.output_nc, opt.input_nc
