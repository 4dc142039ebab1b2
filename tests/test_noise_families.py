"""What all noise-to-image families have in common: published sizes, shapes, labels, norms, attention, refusals."""

from argparse import Namespace

import pytest
import torch
from conftest import ROOT
from torch import Tensor, nn

from models import networks
from models.nets.dcgan import CONDITIONS

NO_ATTENTION, AT_8 = {"attn_res": ()}, {"attn_res": (8,)}
# name -> family, number of classes, arguments of its own for G, for D
FORMS: dict[str, tuple[str, int, dict, dict]] = {
    "dcgan": ("dcgan", 0, {}, {}),
    **{cond: ("dcgan", 3, {"cond": cond}, {"cond": cond}) for cond in CONDITIONS},
    "cgan_mlp": ("cgan_mlp", 3, {}, {}),
    "sagan": ("sagan", 0, {"attn_res": (8, 16), "pooled": False}, {"attn_res": (4,), "pooled": False}),
    "sagan_classes": ("sagan", 3, {"attn_res": (8,), "pooled": True}, {"attn_res": (4,), "pooled": True}),
    "biggan": ("biggan", 0, NO_ATTENTION | {"hierarchical": True, "shared_dim": 0}, NO_ATTENTION),
    "biggan_classes": ("biggan", 3, AT_8 | {"hierarchical": True, "shared_dim": 6}, AT_8),
    "biggan_whole_z": ("biggan", 3, NO_ATTENTION | {"hierarchical": False, "shared_dim": 0}, NO_ATTENTION),
}
CONDITIONAL = [name for name, form in FORMS.items() if form[1]]
ATTENTIVE = ["sagan", "sagan_classes", "biggan_classes"]


def build(name: str, seed: int = 0, **changes: object) -> tuple[nn.Module, nn.Module]:
    """Small G and D in eval mode, with attention that has a weight."""
    family, n_classes, on_G, on_D = FORMS[name]
    opt = {"netG": family, "netD": family, "z_dim": 12, "ngf": 8, "ndf": 8, "output_nc": 3}
    opt |= {"image_side": 32, "norm": "batch", "n_classes": n_classes}
    options = Namespace(**opt | {key: value for key, value in changes.items() if key in opt})
    own = {key: value for key, value in changes.items() if key not in opt}
    torch.manual_seed(seed)
    G = networks.noise_generator_from(options, **on_G | own).eval()
    D = networks.noise_discriminator_from(options, **on_D | own).eval()
    for net in (G, D):
        for attention in getattr(net, "attention", {}).values():
            nn.init.constant_(attention.gamma, 0.5)
    return G, D


def labels(name: str, count: int) -> tuple[Tensor, ...]:
    """What these nets get beside their input."""
    return (torch.arange(count) % 3,) if FORMS[name][1] else ()


def inputs(count: int) -> tuple[Tensor, Tensor]:
    """z for G and images for D."""
    torch.manual_seed(1)
    return torch.randn(count, 12), torch.rand(count, 3, 32, 32) * 2 - 1


GREY = {"output_nc": 1, "n_classes": 10}
WIDE = {"ngf": 96, "ndf": 96, "n_classes": 1000, "z_dim": 120}
COUNTS = [  # form, side in pixels, changes, parameters of G and D
    ("dcgan", 32, {}, 1_068_928, 663_296),
    ("dcgan", 64, {}, 3_576_704, 2_765_568),
    ("dcgan", 128, {}, 12_786_560, 11_164_416),
    ("onehot", 32, GREY, 1_107_840, 671_488),
    ("embed", 32, GREY, 1_272_180, 712_948),
    ("projection", 32, GREY, 1_272_180, 663_808),
    ("cgan_mlp", 28, GREY, 2_413_984, 1_224_351),
    ("sagan", 32, {"z_dim": 128}, 1_209_909, 745_218),
    ("sagan", 64, {"z_dim": 128}, 3_832_885, 3_175_299),
    ("sagan", 128, {"z_dim": 128}, 13_273_141, 11_573_123),
    ("sagan", 256, {"z_dim": 128}, 48_930_869, 45_145_987),
    ("biggan_whole_z", 32, {"n_classes": 10, "z_dim": 128}, 4_304_387, 4_207_361),
    ("biggan_classes", 64, {"n_classes": 10, "z_dim": 120}, 31_842_820, 19_558_082),
    ("biggan_classes", 128, WIDE, 70_433_988, 87_982_370),
    ("biggan_classes", 256, WIDE | {"z_dim": 140}, 82_235_844, 99_225_890),
]


@pytest.mark.parametrize(("name", "side", "changes", "of_G", "of_D"), COUNTS)
def test_parameters_are_as_many_as_published_and_documented(
    name: str, side: int, changes: dict, of_G: int, of_D: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, classes, on_G, on_D = FORMS[name]
    if family in ("sagan", "biggan"):
        places = networks.FAMILIES[family].default_attention(side)
        on_G, on_D = (own | {"attn_res": at} for own, at in zip((on_G, on_D), places, strict=True))
        on_G |= {"shared_dim": 128} if name == "biggan_classes" else {}
    monkeypatch.setitem(FORMS, name, (family, classes, on_G, on_D))
    with torch.device("meta"):
        nets = build(name, **{"z_dim": 100, "ngf": 64, "ndf": 64, "image_side": side} | changes)
    assert [sum(parameter.numel() for parameter in net.parameters()) for net in nets] == [of_G, of_D]
    text = (ROOT / "docs/networks.md").read_text()
    assert f"{of_G:,}" in text and f"{of_D:,}" in text


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("count", [1, 3])
def test_images_are_in_range_and_logits_are_one_for_each(name: str, count: int) -> None:
    G, D = build(name)
    for training in (True, False):
        images = G.train(training)(torch.randn(count, 12), *labels(name, count))
        assert images.shape == (count, 3, 32, 32)
        assert images.isfinite().all() and images.std() > 0 and images.abs().max() <= 1
        assert D.train(training)(images, *labels(name, count)).shape == (count,)


@pytest.mark.parametrize("name", FORMS)
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    G, D = build(name)
    z, _ = inputs(6)
    nn.functional.softplus(-D(G.train()(z, *labels(name, 6)), *labels(name, 6))).mean().backward()
    for net in (G, D):
        for key, parameter in net.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", [name for name in FORMS if name != "cgan_mlp"])
@pytest.mark.parametrize("norm", ["none", "instance", "syncbatch"])
def test_every_norm_fits(name: str, norm: str) -> None:
    G, D = build(name, norm=norm)
    z, x = inputs(2)
    assert G(z, *labels(name, 2)).shape == x.shape and D(x, *labels(name, 2)).shape == (2,)
    wanted = type(networks.get_norm_layer(norm)(1))
    assert any(type(module) is wanted for module in G.modules())
    assert not any(type(module) is nn.BatchNorm2d for module in (*G.modules(), *D.modules()))


@pytest.mark.parametrize("name", CONDITIONAL)
def test_both_nets_depend_on_their_label(name: str) -> None:
    for net, x in zip(build(name), inputs(1), strict=True):
        out = net(torch.cat([x] * 4), torch.tensor([0, 1, 2, 1]))
        for one, other in ((0, 1), (1, 2), (0, 2)):
            assert (out[one] - out[other]).abs().max() > 1e-4
        assert torch.allclose(out[1], out[3], atol=1e-6)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_float_labels_are_weights_of_classes(name: str) -> None:
    label, weights = torch.tensor([0, 2]), torch.eye(3)[[0, 2]]
    mixed = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]])
    for net, x in zip(build(name), inputs(2), strict=True):
        assert torch.allclose(net(x, label), net(x, weights), atol=1e-6)
        between = net(x, mixed)
        for end in (weights, weights.roll(1, 1)):
            assert (between - net(x, end)).abs().max() > 1e-5


LAST_LAYERS = {"projection": "main.8", "sagan_classes": "last", "biggan_classes": "linear"}


@pytest.mark.parametrize("name", LAST_LAYERS)
def test_projection_adds_the_inner_product_of_last_features_and_label(name: str) -> None:
    """Eq. 3 of arXiv:1802.05637: last(features) + <embed(label), sum of the features over space>."""
    _, D = build(name)
    _, x = inputs(3)
    label, features = torch.tensor([2, 0, 1]), []
    layer = D.get_submodule(LAST_LAYERS[name])
    layer.register_forward_pre_hook(lambda module, given: features.append(given[0]))
    logits = D(x, label)
    inner = (D.embed.weight[label] * features[0].reshape(3, D.embed.weight.shape[1], -1).sum(2)).sum(1)
    assert inner.abs().min() > 1e-3
    assert torch.allclose(logits, layer(features[0]).flatten() + inner, atol=1e-4)
    ends = [D(x, torch.full((3,), index)) for index in (0, 1)]
    mixed = torch.tensor([[0.25, 0.75, 0.0]] * 3)
    assert torch.allclose(D(x, mixed), 0.25 * ends[0] + 0.75 * ends[1], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *(
            (name, label)
            for name in ("dcgan", "sagan", "biggan")
            for label in (torch.tensor([0, 1]), torch.eye(3)[:2])
        ),
        *((name, label) for name in CONDITIONAL for label in (None, torch.tensor([0]), torch.eye(4)[:2])),
    ],
)
def test_a_label_that_does_not_fit_fails_with_the_shapes(name: str, label: Tensor | None) -> None:
    for net, x in zip(build(name), inputs(2), strict=True):
        with pytest.raises(AssertionError) as error:
            net(x, label)
        shape = None if label is None else tuple(label.shape)
        assert all(str(part) in str(error.value) for part in (shape, tuple(x.shape), FORMS[name][1]))


@pytest.mark.parametrize("name", ATTENTIVE)
def test_with_gamma_0_it_is_the_net_without_attention(name: str) -> None:
    without = build(name, attn_res=())
    for net, bare, x in zip(build(name), without, inputs(2), strict=True):
        own = net.state_dict()
        assert {key.split(".")[0] for key in own.keys() - bare.state_dict().keys()} == {"attention"}
        bare.load_state_dict({key: own[key] for key in bare.state_dict()})
        assert (net(x, *labels(name, 2)) - bare(x, *labels(name, 2))).abs().max() > 1e-5
        for attention in net.attention.values():
            nn.init.zeros_(attention.gamma)
        assert torch.equal(net(x, *labels(name, 2)), bare(x, *labels(name, 2)))


def test_attention_is_described_with_its_memory() -> None:
    G, D = build("sagan", image_side=64, attn_res=(16,))
    assert "attention at 16, 256 x 256 places" in G.describe(64)[0] and "0.2 MiB" in G.describe(64)[0]
    assert "attention at 16" in D.describe(None)[0] and build("sagan", attn_res=())[0].describe(32) == []
    G, _ = build("biggan_classes", attn_res=(8, 16))
    assert "attention at 8, 64 x 16 places" in G.describe(None)[0] and len(G.describe(None)) == 2
