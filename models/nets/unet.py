"""U-Net generators of pix2pix (Isola et al. 2017, arXiv:1611.07004)."""

from functools import partial

import torch
from torch import Tensor, nn

from models.nets.cpu.cpu_kernels import SpeedUp
from models.nets.families import Family, register
from models.nets.layers import Norm, upstream_has_bias
from models.nets.mismatch import explain_mismatch
from util.errors import UserError


class UnetSkipConnectionBlock(nn.Module):
    """down, submodule, up, with the input concatenated to the output, except in the outermost block."""

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
        bias = upstream_has_bias(norm_layer)
        down: list[nn.Module] = [nn.Conv2d(input_nc or outer_nc, inner_nc, 4, stride=2, padding=1, bias=bias)]
        if not outermost:
            down.insert(0, nn.LeakyReLU(0.2))
        if submodule is not None and not outermost:
            down.append(norm_layer(inner_nc))

        # a submodule returns its input and its output, so twice the channels come up
        up_nc = inner_nc if submodule is None else 2 * inner_nc
        up: list[nn.Module] = [nn.ReLU(inplace=True)]
        up += [nn.ConvTranspose2d(up_nc, outer_nc, 4, stride=2, padding=1, bias=bias or outermost)]
        up += [nn.Tanh()] if outermost else [norm_layer(outer_nc)]
        if use_dropout:
            up.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*down, *([] if submodule is None else [submodule]), *up)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], dim=1)


class UnetGenerator(SpeedUp):
    """`num_downs` halvings to a bottleneck and as many doublings; upstream's argument order.

    With `use_dropout`, the num_downs - 5 widest inner levels have dropout.
    """

    explain_mismatch = explain_mismatch

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
        self.multiple = 2**num_downs  # the sides of images in pixels are multiples of it
        wide = 8 * ngf
        make = partial(UnetSkipConnectionBlock, norm_layer=norm_layer)
        block = make(wide, wide)
        for _ in range(num_downs - 5):
            block = make(wide, wide, submodule=block, use_dropout=use_dropout)
        for width in (4 * ngf, 2 * ngf, ngf):
            block = make(width, 2 * width, submodule=block)
        self.model = make(output_nc, ngf, input_nc=input_nc, submodule=block, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_nc, H, W) in [-1, 1] -> (N, output_nc, H, W) in [-1, 1].

        Raises:
            UserError: a side is not a multiple of 2**num_downs.
        """
        height, width = x.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f"this U-Net takes images whose sides are multiples of {self.multiple} pixels, not {width} x {height}: "
                "use --preprocess resize_and_crop, or --netG resnet_9blocks"
            )
        return self.model(x)


register(
    Family(
        "unet_256",
        "U-Net with 8 halvings, for sides that are multiples of 256",
        generator=lambda input_nc, output_nc, *others: UnetGenerator(input_nc, output_nc, 8, *others),
        side_multiple=256,
    ),
    Family(
        "unet_128",
        "U-Net with 7 halvings, for sides that are multiples of 128",
        generator=lambda input_nc, output_nc, *others: UnetGenerator(input_nc, output_nc, 7, *others),
        side_multiple=128,
    ),
)
