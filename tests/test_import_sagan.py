"""The importer of SAGAN weights against the source's layout, rebuilt here from its published facts.

No original checkpoint is at hand: keys and shapes are those of the source's nets, the numbers are random.
"""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from conftest import refused
from torch import Tensor, nn

from models.imports.sagan import options, translate
from models.nets.layers import apply_spectral_norm, get_norm_layer
from models.nets.sagan import SAGANDiscriminator, SAGANGenerator

Shapes = dict[str, tuple[int, ...]]


def conv(name: str, rows: int, columns: int, biases: int) -> Shapes:
    """A normalised 4 x 4 convolution: weight (rows, columns, 4, 4)."""
    shapes = {"bias": (biases,), "weight_u": (rows,), "weight_v": (16 * columns,)}
    return {
        f"{name}.0.module.{part}": shape
        for part, shape in (shapes | {"weight_bar": (rows, columns, 4, 4)}).items()
    }


def batch_norm(name: str, width: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.1.{part}": (width,) for part in parts} | {f"{name}.1.num_batches_tracked": ()}


def attention(name: str, width: int) -> Shapes:
    shapes: Shapes = {f"{name}.gamma": (1,)}
    for part, out in (("query", width // 8), ("key", width // 8), ("value", width)):
        shapes |= {f"{name}.{part}_conv.weight": (out, width, 1, 1), f"{name}.{part}_conv.bias": (out,)}
    return shapes


def published(kind: str) -> Shapes:
    """Keys and shapes that the source's nets of 64 pixels save."""
    if kind == "G":
        shapes: Shapes = {"last.0.weight": (64, 3, 4, 4), "last.0.bias": (3,)}
        for level, (below, width) in enumerate(pairwise([128, 512, 256, 128, 64]), start=1):
            shapes |= conv(f"l{level}", below, width, biases=width) | batch_norm(f"l{level}", width)
        return shapes | attention("attn1", 128) | attention("attn2", 64)
    shapes = {"last.0.weight": (1, 512, 4, 4), "last.0.bias": (1,)}
    for level, (above, width) in enumerate(pairwise([3, 64, 128, 256, 512]), start=1):
        shapes |= conv(f"l{level}", width, above, biases=width)
    return shapes | attention("attn1", 256) | attention("attn2", 512)


PARAMETERS = {"G": 3_849_269, "D": 3_183_475}  # u and v are among them there


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
    if kind == "G":
        net: SAGANGenerator | SAGANDiscriminator = SAGANGenerator(
            z_dim=found["z_dim"],
            output_nc=found["output_nc"],
            ngf=found["ngf"],
            size=found["crop_size"],
            norm=get_norm_layer(found["norm"]),
            n_classes=found["n_classes"],
            attn_res=[int(side) for side in found["attn_res"].split(",")],
            pooled=found["attn_form"] == "pooled",
            upsample=found["upsample"],
        )
    else:
        net = SAGANDiscriminator(
            input_nc=found["output_nc"],
            ndf=found["ndf"],
            size=found["crop_size"],
            n_classes=found["n_classes"],
            attn_res=[int(side) for side in found["attn_res_D"].split(",")],
            pooled=found["attn_form"] == "pooled",
        )
    return apply_spectral_norm(net, net.spectral_layers(found["sn_scope"]), rows=found["sn_rows"]).eval()


def inputs(kind: str) -> Tensor:
    torch.manual_seed(3)
    return torch.randn(2, 128) if kind == "G" else torch.rand(2, 3, 64, 64) * 2 - 1


@pytest.mark.parametrize("kind", ["G", "D"])
def test_the_rebuilt_source_saves_what_the_original_does(kind: str) -> None:
    net = source(kind)
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == published(kind)
    assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS[kind]


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


@pytest.mark.parametrize("kind", ["G", "D"])
def test_vectors_are_those_after_the_sources_next_iteration(kind: str) -> None:
    net = source(kind)
    before = state(net)
    translated = translate(before, kind)
    with torch.no_grad():
        net(inputs(kind))
    prefix = "blocks.8.conv" if kind == "G" else "blocks.16.0"
    for vector in ("u", "v"):
        own, key = translated[f"{prefix}.parametrizations.weight.0._{vector}"], f"l2.0.module.weight_{vector}"
        assert torch.allclose(own, net.state_dict()[key], atol=1e-6)
        assert (own - before[key]).abs().max() > 1e-2
    assert translated["attention.8.gamma" if kind == "D" else "attention.16.gamma"].shape == ()


def test_options_tell_the_widths_of_the_file() -> None:
    small = state(source("G", z_dim=20, width=8, output_nc=1))
    assert options(small, state(source("D", input_nc=1, width=16))) == {
        "model": "sagan",
        "crop_size": 64,
        "z_dim": 20,
        "ngf": 8,
        "ndf": 16,
        "output_nc": 1,
        "sn_scope": "blocks",
        "sn_rows": "in",
        "attn_form": "plain",
        "attn_res": "16,32",
        "attn_res_D": "8,4",
        "upsample": "deconv",
        "n_classes": 0,
        "norm": "batch",
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


def test_files_of_other_nets_are_refused_with_their_first_keys() -> None:
    with refused("D", "conv.weight"):
        translate({"conv.weight": torch.zeros(1)}, "D")
    with refused("G", "l1.1.weight"):
        options(state(source("D", width=8)))
