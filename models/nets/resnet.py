"""ResNet generators of CycleGAN (Johnson et al. 2016, arXiv:1603.08155; Zhu et al. 2017, arXiv:1703.10593)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from models.nets.families import Family, register
from models.nets.layer_taps import TappedChain
from models.nets.layers import Norm, upstream_has_bias

SMALLEST_SIDE = 5  # pixels: a quarter of it, rounded up, is 2, the least that reflection padding can pad


# layers before each convolution of a residual block; with zero, which has none, the convolution pads itself
PADDINGS: dict[str, list[Callable[[int], nn.Module]]] = {
    "reflect": [nn.ReflectionPad2d],
    "replicate": [nn.ReplicationPad2d],
    "zero": [],
}


class ResnetBlock(nn.Module):
    """x + conv_block(x), without activation after the sum; `padding_type` is a key of PADDINGS."""

    def __init__(
        self, dim: int, norm_layer: Norm, *, use_dropout: bool, use_bias: bool, padding_type: str = "reflect"
    ) -> None:
        super().__init__()

        def convolution() -> list[nn.Module]:
            pads = [pad(1) for pad in PADDINGS[padding_type]]
            return [*pads, nn.Conv2d(dim, dim, 3, padding=1 - len(pads), bias=use_bias), norm_layer(dim)]

        dropout = [nn.Dropout(0.5)] * use_dropout
        self.conv_block = nn.Sequential(*convolution(), nn.ReLU(inplace=True), *dropout, *convolution())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x + self.conv_block(x)


class ResnetGenerator(TappedChain):
    """c7s1-ngf, d2ngf, d4ngf, n_blocks residual blocks, u2ngf, ungf, c7s1-output_nc, tanh. Upstream's argument order.

    `padding_type` is that of the residual blocks; the first and the last convolution always have reflection padding.
    Places for attention: `down` after the first down-sampling (stride 2), `mid` in the middle of the residual
    blocks and `trunk` after them (stride 4).
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        ngf: int,
        norm_layer: Norm,
        use_dropout: bool = False,
        n_blocks: int = 6,
        padding_type: str = "reflect",
    ) -> None:
        bias = upstream_has_bias(norm_layer)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7, bias=bias)]
        layers += [norm_layer(ngf), nn.ReLU(inplace=True)]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias)]
            layers += [norm_layer(2 * width), nn.ReLU(inplace=True)]
        trunk = len(layers)
        block = partial(ResnetBlock, use_dropout=use_dropout, use_bias=bias, padding_type=padding_type)
        layers += [block(4 * ngf, norm_layer) for _ in range(n_blocks)]
        for width in (4 * ngf, 2 * ngf):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)
            ]
            layers += [norm_layer(width // 2), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        taps = {
            "down": (6, 2 * ngf, 2),
            "mid": (trunk + max(1, n_blocks // 2) - 1, 4 * ngf, 4),
            "trunk": (trunk + n_blocks - 1, 4 * ngf, 4),
        }
        super().__init__(layers, taps, SMALLEST_SIDE)

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_nc, H, W) in [-1, 1] -> (N, output_nc, H, W) in [-1, 1]."""
        # the output's sides are rounded up to multiples of 4
        return super().forward(x)[..., : x.shape[2], : x.shape[3]]


PLACES = ("down", "mid", "trunk")
register(
    Family(
        "resnet_9blocks",
        "ResNet with 9 residual blocks, for images of 256 pixels or more",
        generator=partial(ResnetGenerator, n_blocks=9),
        smallest_side=SMALLEST_SIDE,
        attention_places=PLACES,
    ),
    Family(
        "resnet_6blocks",
        "ResNet with 6 residual blocks, for images of up to 128 pixels",
        generator=partial(ResnetGenerator, n_blocks=6),
        smallest_side=SMALLEST_SIDE,
        attention_places=PLACES,
    ),
)
