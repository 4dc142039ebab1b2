"""Discriminators that judge each patch of an image (PatchGAN, Isola et al. 2017, arXiv:1611.07004, section 3.2)."""

from torch import Tensor, nn

from models.nets.families import Family, register
from models.nets.layer_taps import TappedChain
from models.nets.layers import Norm, upstream_has_bias
from models.nets.mismatch import explain_mismatch


def smallest_side(n_layers: int) -> int:
    """In pixels: n_layers halvings must leave 3, which two convolutions of width 4 with padding 1 need."""
    return 3 * 2**n_layers


class NLayerDiscriminator(TappedChain):
    """n_layers convolutions of stride 2, then two of stride 1; 3 layers see 70 x 70 pixels. Upstream's argument order.

    (N, input_nc, H, W) in [-1, 1] -> logits (N, 1, h, w), one for each patch; 256 pixels give 30 x 30.
    Places for attention: `stride4`, `stride8`, ..., named for the stride of the features there.
    """

    def __init__(self, input_nc: int, ndf: int, n_layers: int, norm_layer: Norm) -> None:
        bias = upstream_has_bias(norm_layer)
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
        taps: dict[str, tuple[int, int, int]] = {}
        width = ndf
        for level in range(1, n_layers + 1):
            wider, stride = min(ndf * 2**level, ndf * 8), 2 if level < n_layers else 1
            layers += [nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=bias)]
            layers += [norm_layer(wider), nn.LeakyReLU(0.2, True)]
            if stride == 2:
                taps[f"stride{2 ** (level + 1)}"] = (len(layers) - 1, wider, 2 ** (level + 1))
            width = wider
        layers += [nn.Conv2d(width, 1, 4, stride=1, padding=1)]
        super().__init__(layers, taps, smallest_side(n_layers))


class PixelDiscriminator(nn.Module):
    """1 x 1 convolutions, which judge each pixel separately."""

    explain_mismatch = explain_mismatch

    def __init__(self, input_nc: int, ndf: int, norm_layer: Norm) -> None:
        super().__init__()
        bias = upstream_has_bias(norm_layer)
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_layer(2 * ndf),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, input_nc, H, W) in [-1, 1] -> logits (N, 1, H, W)."""
        return self.net(x)


PLACES = ("stride4", "stride8")
register(
    Family(
        "basic",
        "PatchGAN with 3 layers, which sees 70 x 70 pixels",
        discriminator=lambda input_nc, ndf, n_layers, norm: NLayerDiscriminator(input_nc, ndf, 3, norm),
        smallest_side=smallest_side(3),
        attention_places=PLACES,
    ),
    Family(
        "n_layers",
        "PatchGAN with --n_layers_D layers",
        discriminator=NLayerDiscriminator,
        smallest_side=smallest_side,
        attention_places=PLACES,
    ),
    Family(
        "pixel",
        "PatchGAN of 1 x 1 pixels",
        discriminator=lambda input_nc, ndf, n_layers, norm: PixelDiscriminator(input_nc, ndf, norm),
    ),
)
