"""CycleGAN with self-attention in its generators and discriminators (arXiv:1703.10593, arXiv:1805.08318)."""

from argparse import ArgumentParser, Namespace

from torch import Tensor, nn

from models import networks
from models.cycle_gan_model import CycleGANModel
from models.latent_flags import query_points
from util.errors import UserError
from util.imaging.attention_overlay import overlay


class CycleGANAttnModel(CycleGANModel):
    """At gamma = 0, the initial value, it computes exactly what CycleGAN computes."""

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser = CycleGANModel.modify_commandline_options(parser, is_train)
        add_generator_flags(parser, place="trunk")
        about = "points y,x in [0, 1) whose attention maps are shown, separated by semicolons"
        parser.add_argument("--attn_points", default="0.5,0.5;0.2,0.5", metavar="POINTS", help=about)
        if is_train:
            parser.add_argument(
                "--attn_D",
                default="stride8",
                help="places of attention in the discriminators, separated by commas: stride4, stride8 (at 1/4 and 1/8 of "
                "the image's side); or none",
            )
            parser.add_argument(
                "--attn_preset",
                choices=("none", "sagan"),
                default="none",
                help="sagan sets --gan_mode hinge --spectral D --lr_G 1e-4 --lr_D 4e-4 --beta1 0 --beta2 0.9",
            )
            known, _ = parser.parse_known_args()
            if known.attn_preset == "sagan":
                parser.set_defaults(gan_mode="hinge", spectral="D")
                parser.set_defaults(lr_G=1e-4, lr_D=4e-4, beta1=0.0, beta2=0.9)
        return parser

    @staticmethod
    def check_options(opt: Namespace) -> None:
        CycleGANModel.check_options(opt)
        check_generator(opt)
        query_points(opt.attn_points)
        if opt.isTrain:
            networks.check_attention("--netD", opt.netD, "--attn_D", _places(opt.attn_D))

    def generator(self, input_nc: int, output_nc: int) -> nn.Module:
        return attend_in_generator(super().generator(input_nc, output_nc), self.opt)

    def discriminator(self, input_nc: int) -> nn.Module:
        net = super().discriminator(input_nc)
        return _attend(net, self.opt, "--attn_D", self.opt.attn_D, spectral=self.opt.spectral != "none")

    def scalars(self) -> dict[str, Tensor]:
        return networks.gammas(self.nets)

    def visuals(self) -> dict[str, Tensor]:
        shown = super().visuals()
        if self.opt.attn_G_pos != "none":
            place, points = _places(self.opt.attn_G_pos)[-1], query_points(self.opt.attn_points)
            for label, net, images in (("attn_A", self.G_A, self.real_A), ("attn_B", self.G_B, self.real_B)):
                rows = networks.attention_rows(net, place, [images], points)
                shown[label] = overlay(images, rows, points)
        return shown


def add_generator_flags(parser: ArgumentParser, *, place: str) -> None:
    """Add the flags for attention (`place` by default) and spectral norm in a generator."""
    parser.add_argument(
        "--attn_G_pos",
        default=place,
        help="places of attention in the generators, separated by commas: down (at 1/2 of the image's side), mid (halfway "
        "through the residual blocks, at 1/4), trunk (after these blocks, at 1/4); or none",
    )
    parser.add_argument(
        "--attn_form",
        choices=("pooled", "plain"),
        default="pooled",
        help="keys and values of attention: at full resolution (plain), or max-pooled 2x2 (pooled)",
    )
    parser.add_argument(
        "--spectral",
        choices=("none", "D", "both"),
        default="none",
        help="nets with spectral norm: none, the discriminators, or both kinds",
    )


def check_generator(opt: Namespace) -> None:
    """Raise UserError if --netG does not have the places that --attn_G_pos names."""
    networks.check_attention("--netG", opt.netG, "--attn_G_pos", _places(opt.attn_G_pos))


def attend_in_generator(net: nn.Module, opt: Namespace) -> nn.Module:
    """Add attention and spectral norm to a generator, in place, according to the flags."""
    return _attend(net, opt, "--attn_G_pos", opt.attn_G_pos, spectral=opt.spectral == "both")


def _attend(net: nn.Module, opt: Namespace, flag: str, value: str, *, spectral: bool) -> nn.Module:
    initial = {"init_type": opt.init_type, "init_gain": opt.init_gain}
    try:
        networks.add_attention(net, _places(value), pooled=opt.attn_form == "pooled", **initial)
    except ValueError as error:
        raise UserError(f"{flag} {value}: {error}, or {flag} none") from error
    return networks.apply_spectral_norm(net) if spectral else net


def _places(value: str) -> list[str]:
    """`trunk,down` -> ["trunk", "down"]; `none` -> []."""
    return [] if value == "none" else value.split(",")
