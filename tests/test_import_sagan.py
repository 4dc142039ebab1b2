"""The importer of SAGAN weights against the source's layout, rebuilt here from its published facts.

No original checkpoint is at hand: keys and shapes are those of the source's nets, the numbers are random.
"""

from argparse import Namespace

import pytest
import torch
import torch.nn.functional as F
from conftest import refused
from torch import Tensor, nn

from models import networks
from models.imports.sagan import options, translate
from models.nets.layers import apply_spectral_norm


class Normalised(nn.Module):
    """A layer whose weight is divided by u W v, with u and v moved on by every forward, in eval mode, too."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        weight = layer.weight.detach()
        del layer._parameters["weight"]
        layer.weight_u = nn.Parameter(F.normalize(torch.randn(len(weight)), dim=0), requires_grad=False)
        layer.weight_v = nn.Parameter(F.normalize(torch.randn(weight[0].numel()), dim=0), requires_grad=False)
        layer.weight_bar = nn.Parameter(weight)
        self.module = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.module
        matrix = layer.weight_bar.reshape(len(layer.weight_bar), -1)
        v = matrix.T @ layer.weight_u
        layer.weight_v.data = v / (v.norm() + 1e-12)
        u = matrix @ layer.weight_v
        layer.weight_u.data = u / (u.norm() + 1e-12)
        layer.weight = layer.weight_bar / (layer.weight_u @ matrix @ layer.weight_v)
        return layer(x)


class Attention(nn.Module):
    """Plain attention by explicit maps, as a tuple (output, map)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = (
            layer(x).flatten(2) for layer in (self.query_conv, self.key_conv, self.value_conv)
        )
        weights = torch.einsum("ncj,nci->nji", query, key).softmax(-1)
        return x + self.gamma * torch.einsum("nci,nji->ncj", value, weights).view_as(x), weights


class Source(nn.Module):
    """The order that both of the source's nets have: l1, l2, l3, attn1, l4, attn2, last."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, first = self.attn1(self.l3(self.l2(self.l1(x))))
        x, second = self.attn2(self.l4(x))
        return self.last(x), first, second


class SourceG(Source):
    def __init__(self, *, z_dim: int = 128, width: int = 64, output_nc: int = 3) -> None:
        super().__init__()
        widths = [z_dim, 8 * width, 4 * width, 2 * width, width]
        for level in range(4):
            stride, padding = (2, 1) if level else (1, 0)
            conv = nn.ConvTranspose2d(widths[level], widths[level + 1], 4, stride, padding)
            stage = nn.Sequential(Normalised(conv), nn.BatchNorm2d(widths[level + 1]), nn.ReLU())
            self.add_module(f"l{level + 1}", stage)
        self.last = nn.Sequential(nn.ConvTranspose2d(width, output_nc, 4, 2, 1), nn.Tanh())
        self.attn1, self.attn2 = Attention(2 * width), Attention(width)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return super().forward(z.view(*z.shape, 1, 1))


class SourceD(Source):
    def __init__(self, *, input_nc: int = 3, width: int = 64) -> None:
        super().__init__()
        widths = [input_nc, width, 2 * width, 4 * width, 8 * width]
        for level in range(4):
            conv = nn.Conv2d(widths[level], widths[level + 1], 4, 2, 1)
            self.add_module(f"l{level + 1}", nn.Sequential(Normalised(conv), nn.LeakyReLU(0.1)))
        self.last = nn.Sequential(nn.Conv2d(8 * width, 1, 4))
        self.attn1, self.attn2 = Attention(4 * width), Attention(8 * width)


def trained(net: Source) -> Source:
    """Numbers as of a net in the middle of its training: moved statistics, gammas that are not 0."""
    for name, module in net.named_modules():
        if isinstance(module, Attention):
            nn.init.constant_(module.gamma, {"attn1": 0.6, "attn2": -0.4}[name])
            for layer in (module.query_conv, module.key_conv):
                nn.init.normal_(layer.weight, 0.0, 0.5)
                nn.init.normal_(layer.bias, 0.0, 0.5)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.2)
            module.running_mean.normal_(0.0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            module.num_batches_tracked.fill_(1000)
    return net.eval()


def source(kind: str, **changes: int) -> Source:
    torch.manual_seed(7)
    return trained(SourceG(**changes) if kind == "G" else SourceD(**changes))


def state(net: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def ours(kind: str, found: dict[str, str | int]) -> nn.Module:
    """A net as a run with these options builds it."""
    opt = Namespace(netG="sagan", netD="sagan", image_side=found["crop_size"], **found)
    build = networks.noise_generator_from if kind == "G" else networks.noise_discriminator_from
    places = found["attn_res" if kind == "G" else "attn_res_D"].split(",")
    own = {"attn_res": [int(side) for side in places], "pooled": found["attn_form"] == "pooled"}
    net = build(opt, **own)
    return apply_spectral_norm(net, net.spectral_layers(found["sn_scope"]), rows=found["sn_rows"]).eval()


def inputs(kind: str) -> Tensor:
    torch.manual_seed(3)
    return torch.randn(2, 128) if kind == "G" else torch.rand(2, 3, 64, 64) * 2 - 1


@pytest.mark.parametrize(("kind", "tensors", "parameters"), [("G", 52, 3_849_269), ("D", 32, 3_183_475)])
def test_the_rebuilt_source_has_the_published_size(kind: str, tensors: int, parameters: int) -> None:
    net = source(kind)  # the vectors of spectral norm are parameters there
    assert len(net.state_dict()) == tensors
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@pytest.mark.parametrize("kind", ["G", "D"])
def test_translated_nets_give_what_the_source_gives_next(kind: str) -> None:
    net, x = source(kind), inputs(kind)
    found = options(state(source("G")), state(source("D")))
    own = ours(kind, found)
    own.load_state_dict(translate(state(net), kind))
    with torch.no_grad():
        expected, found = net(x)[0], own(x)
        if kind == "D":
            expected = expected.flatten()
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-5
        assert (expected[0] - expected[1]).abs().max() > 1e-3
        assert torch.equal(own(x), found)


@pytest.mark.parametrize("kind", ["G", "D"])
def test_every_tensor_counts(kind: str) -> None:
    """Each, put in another order, moves the output by ten times what the agreement above allows."""
    sources = {"G": state(source("G", width=8)), "D": state(source("D", width=16))}
    own, x = ours(kind, options(sources["G"], sources["D"])), inputs(kind)
    translated = translate(sources[kind], kind)
    own.load_state_dict(translated)
    with torch.no_grad():
        whole = own(x)
        for key, value in translated.items():
            if key.endswith(("num_batches_tracked", "key.bias")):
                continue  # a count, and a term that the softmax takes out
            own.load_state_dict(translated | {key: value.roll(1) if value.numel() > 1 else value + 0.3})
            assert (own(x) - whole).abs().max() > 1e-4, key


def test_options_tell_the_widths_of_the_file() -> None:
    small = state(source("G", z_dim=20, width=8, output_nc=1))
    assert options(small, state(source("D", input_nc=1, width=16))) == {
        **{
            "model": "sagan",
            "crop_size": 64,
            "z_dim": 20,
            "ngf": 8,
            "ndf": 16,
            "output_nc": 1,
            "n_classes": 0,
        },
        **{"sn_scope": "blocks", "sn_rows": "in", "upsample": "deconv", "norm": "batch"},
        **{"attn_form": "plain", "attn_res": "16,32", "attn_res_D": "8,4"},
    }
    assert options(small)["ndf"] == 64
    ours("G", options(small)).load_state_dict(translate(small, "G"))


@pytest.mark.parametrize("kind", ["G", "D"])
def test_keys_of_wrapped_nets_and_of_old_torch_are_known(kind: str) -> None:
    plain = state(source(kind, width=8))
    expected = translate(plain, kind)
    wrapped = {f"module.{key}": value for key, value in plain.items()}
    freed = {key.replace(".module.", "."): value for key, value in plain.items()}
    uncounted = {key: value for key, value in plain.items() if not key.endswith("num_batches_tracked")}
    assert len(uncounted) == len(plain) - (4 if kind == "G" else 0)
    for variant in (wrapped, freed, uncounted):
        found = translate(variant, kind)
        assert found.keys() == expected.keys()
        same = {key for key in found if torch.equal(found[key], expected[key])}
        assert all(key.endswith("num_batches_tracked") for key in found.keys() - same)


@pytest.mark.parametrize("kind", ["G", "D"])
def test_every_missing_key_is_named(kind: str) -> None:
    whole = state(source(kind, width=8))
    for key in whole:
        if not key.endswith("num_batches_tracked"):
            with refused(kind, key.replace(".module.", ".")):
                translate({other: value for other, value in whole.items() if other != key}, kind)


@pytest.mark.parametrize("kind", ["G", "D"])
def test_every_unexpected_key_is_named(kind: str) -> None:
    """The last one is a second tensor for a place that has one."""
    whole = state(source(kind, width=8))
    for key in ("l5.0.module.bias", "l1.0.module.weight", "attn1.output.weight", "last.0.gamma", "l1.0.bias"):
        with refused(kind, key, f"_{kind}.pth"):
            translate(whole | {key: torch.zeros(1)}, kind)
