"""U-Net generators of pix2pix (Isola et al. 2017, arXiv:1611.07004)."""

import torch
from torch import Tensor, nn

from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.layers import Norm, needs_bias
from util.errors import UserError


class UnetSkipConnectionBlock(nn.Module):
    """|-- down -- submodule -- up --| with its input concatenated to its output (not in the outermost)."""

    def __init__(
        self,
        outer_nc: int,
        inner_nc: int,
        *,
        norm_layer: Norm,
        input_nc: int | None = None,
        submodule: nn.Module | None = None,
        outermost: bool = False,
        use_dropout: bool = False,
    ) -> None:
        super().__init__()
        self.outermost = outermost
        bias = needs_bias(norm_layer)
        down: list[nn.Module] = [nn.Conv2d(input_nc or outer_nc, inner_nc, 4, stride=2, padding=1, bias=bias)]
        if not outermost:
            down.insert(0, nn.LeakyReLU(0.2))
        if submodule is not None and not outermost:
            down.append(norm_layer(inner_nc))

        # a submodule gives its input back beside its output, so twice the channels come up
        up_nc = inner_nc if submodule is None else 2 * inner_nc
        up: list[nn.Module] = [nn.ReLU(inplace=True)]
        up += [nn.ConvTranspose2d(up_nc, outer_nc, 4, stride=2, padding=1, bias=bias or outermost)]
        up += [nn.Tanh()] if outermost else [norm_layer(outer_nc)]
        if use_dropout:
            up.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*down, *([submodule] if submodule is not None else []), *up)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], dim=1)


class UnetGenerator(SpeedUp):
    """`num_downs` halvings down to a bottleneck and up again; the classic argument order.

    Dropout, where asked for, sits in the num_downs - 5 widest inner levels.
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        num_downs: int,
        ngf: int,
        norm_layer: Norm,
        use_dropout: bool = False,
    ) -> None:
        super().__init__()
        self.multiple = 2**num_downs  # of the sides of its images
        wide = 8 * ngf
        block = UnetSkipConnectionBlock(wide, wide, norm_layer=norm_layer)
        for _ in range(num_downs - 5):
            block = UnetSkipConnectionBlock(
                wide, wide, submodule=block, norm_layer=norm_layer, use_dropout=use_dropout
            )
        for width in (4 * ngf, 2 * ngf, ngf):
            block = UnetSkipConnectionBlock(width, 2 * width, submodule=block, norm_layer=norm_layer)
        self.model = UnetSkipConnectionBlock(
            output_nc, ngf, input_nc=input_nc, submodule=block, norm_layer=norm_layer, outermost=True
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_nc, H, W) in [-1, 1] -> (N, output_nc, H, W) in [-1, 1].

        Raises:
            UserError: a side is no multiple of 2**num_downs.
        """
        height, width = x.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f"an image of {width} x {height} pixels reached a U-Net whose sides must be multiples of "
                f"{self.multiple}: use --preprocess resize_and_crop, or --netG resnet_9blocks"
            )
        return self.model(x)
