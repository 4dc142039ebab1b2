"""DCGAN, its conditional forms and the conditional-GAN paper's MLP: published rows, keys, classes."""

from collections.abc import Callable

import pytest
import torch
from conftest import refused
from torch import Tensor, nn

from models.nets.cgan_mlp import Maxout, MLPDiscriminator, MLPGenerator
from models.nets.dcgan import CONDITIONS, SIZES, DCGANDiscriminator, DCGANGenerator
from models.nets.init import init_weights
from models.nets.layers import get_norm_layer

CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d


def generator(**changes: object) -> DCGANGenerator:
    small = {"z_dim": 12, "output_nc": 3, "ngf": 8, "size": 32, "norm": get_norm_layer("batch")}
    torch.manual_seed(0)
    return DCGANGenerator(**(small | changes))


def discriminator(**changes: object) -> DCGANDiscriminator:
    small = {"input_nc": 3, "ndf": 8, "size": 32, "norm": get_norm_layer("batch")}
    torch.manual_seed(0)
    return DCGANDiscriminator(**(small | changes))


def mlp_generator(**changes: object) -> MLPGenerator:
    torch.manual_seed(0)
    return MLPGenerator(**({"z_dim": 12, "output_nc": 3, "size": 32, "n_classes": 3} | changes))


def mlp_discriminator(**changes: object) -> MLPDiscriminator:
    torch.manual_seed(0)
    return MLPDiscriminator(**({"input_nc": 3, "size": 32, "n_classes": 3} | changes))


FORMS = (*CONDITIONS, "cgan_mlp")  # the ways to tell nets a class


def nets(name: str) -> tuple[nn.Module, nn.Module]:
    """Small G and D of 3 classes, or `plain` ones of none, in the mode of testing."""
    if name == "cgan_mlp":
        return mlp_generator().eval(), mlp_discriminator().eval()
    told = {} if name == "plain" else {"n_classes": 3, "cond": name}
    return generator(**told).eval(), discriminator(**told).eval()


def labels(name: str, count: int) -> tuple[Tensor, ...]:
    """What these nets take beside their input."""
    return () if name == "plain" else (torch.arange(count) % 3,)


def inputs(count: int) -> tuple[Tensor, Tensor]:
    """z for G and x for D of the small nets."""
    torch.manual_seed(1)
    return torch.randn(count, 12), torch.rand(count, 3, 32, 32) * 2 - 1


def reaching(net: nn.Module, layer: nn.Module, *given: Tensor) -> Tensor:
    """What a layer gets when the net is run."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    net(*given)
    hook.remove()
    return seen[0]


def convolutions(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, CONVOLUTIONS)]


def geometry(conv: nn.Module) -> tuple[int, int, int]:
    return conv.kernel_size[0], conv.stride[0], conv.padding[0]


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


# ---------------------------------------------------------------------- sizes, counts, keys


@pytest.mark.parametrize(
    ("changes", "of_G", "of_D"),
    [
        ({}, 3_576_704, 2_765_568),
        ({"n_classes": 10}, 3_576_704 + 10 * 512 * 16, 2_765_568 + 10 * 64 * 16),
        ({"n_classes": 10, "cond": "embed"}, 3_576_704 + 50 * 512 * 16 + 500, 2_765_568 + 50 * 64 * 16 + 500),
        ({"n_classes": 10, "cond": "projection"}, 3_576_704 + 50 * 512 * 16 + 500, 2_765_568 + 10 * 512),
        (
            {"n_classes": 10, "cond": "embed", "embed_dim": 7},
            3_576_704 + 7 * 512 * 16 + 70,
            2_765_568 + 7 * 64 * 16 + 70,
        ),
        ({"cond": "embed"}, 3_576_704, 2_765_568),
        ({"cond": "projection"}, 3_576_704, 2_765_568),
    ],
)
def test_the_nets_for_64_pixels_have_the_published_sizes(
    changes: dict[str, object], of_G: int, of_D: int
) -> None:
    with torch.device("meta"):
        assert count(generator(z_dim=100, ngf=64, size=64, **changes)) == of_G
        assert count(discriminator(ndf=64, size=64, **changes)) == of_D


def test_the_mlp_has_the_sizes_of_the_paper() -> None:
    G, D = mlp_generator(z_dim=100, output_nc=1, size=28, n_classes=10), mlp_discriminator(n_classes=10)
    assert shapes(G) == {
        "from_z.weight": (200, 100),
        "from_z.bias": (200,),
        "from_label.weight": (1000, 10),
        "from_label.bias": (1000,),
        "joint.weight": (1200, 1200),
        "joint.bias": (1200,),
        "last.weight": (784, 1200),
        "last.bias": (784,),
    }
    assert shapes(D) == {
        "from_image.weight": (240 * 5, 3 * 32 * 32),
        "from_image.bias": (240 * 5,),
        "from_label.weight": (50 * 5, 10),
        "from_label.bias": (50 * 5,),
        "joint.weight": (240 * 4, 240 + 50),
        "joint.bias": (240 * 4,),
        "last.weight": (1, 240),
        "last.bias": (1,),
    }
    assert count(G) == 2_413_984
    assert count(mlp_discriminator(input_nc=1, size=28, n_classes=10)) == 1_224_351


def batch_norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}


KEYS_OF_G = {
    "main.0.weight": (100, 512, 4, 4),
    **batch_norm("main.1", 512),
    "main.3.weight": (512, 256, 4, 4),
    **batch_norm("main.4", 256),
    "main.6.weight": (256, 128, 4, 4),
    **batch_norm("main.7", 128),
    "main.9.weight": (128, 64, 4, 4),
    **batch_norm("main.10", 64),
    "main.12.weight": (64, 3, 4, 4),
}
KEYS_OF_D = {
    "main.0.weight": (64, 3, 4, 4),
    "main.2.weight": (128, 64, 4, 4),
    **batch_norm("main.3", 128),
    "main.5.weight": (256, 128, 4, 4),
    **batch_norm("main.6", 256),
    "main.8.weight": (512, 256, 4, 4),
    **batch_norm("main.9", 512),
    "main.11.weight": (1, 512, 4, 4),
}


@pytest.mark.parametrize(
    ("changes", "on_G", "on_D"),
    [
        ({}, {}, {}),
        (
            {"n_classes": 10},
            {"main.0.weight": (110, 512, 4, 4)},
            {"main.0.weight": (64, 13, 4, 4)},
        ),
        (
            {"n_classes": 10, "cond": "embed"},
            {"main.0.weight": (150, 512, 4, 4), "embed.weight": (10, 50)},
            {"main.0.weight": (64, 53, 4, 4), "embed.weight": (10, 50)},
        ),
        (
            {"n_classes": 10, "cond": "projection"},
            {"main.0.weight": (150, 512, 4, 4), "embed.weight": (10, 50)},
            {"embed.weight": (10, 512)},
        ),
    ],
)
def test_the_keys_for_64_pixels_stay_as_written_here(changes: dict, on_G: dict, on_D: dict) -> None:
    with torch.device("meta"):
        G, D = generator(z_dim=100, ngf=64, size=64, **changes), discriminator(ndf=64, size=64, **changes)
    assert shapes(G) == KEYS_OF_G | on_G
    assert shapes(D) == KEYS_OF_D | on_D


@pytest.mark.parametrize(
    ("size", "stages"),
    [
        (32, [(32, 4, 4), (16, 8, 8), (8, 16, 16)]),
        (64, [(64, 4, 4), (32, 8, 8), (16, 16, 16), (8, 32, 32)]),
        (128, [(128, 4, 4), (64, 8, 8), (32, 16, 16), (16, 32, 32), (8, 64, 64)]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_widths_double_towards_4_by_4(size: int, stages: list[tuple[int, ...]], channels: int) -> None:
    G, D = generator(size=size, output_nc=channels), discriminator(size=size, input_nc=channels)
    z = torch.randn(2, 12)
    images = G(z)
    assert images.shape == (2, channels, size, size)
    assert D(images).shape == (2,)
    reached = [tuple(reaching(G, conv, z).shape[1:]) for conv in convolutions(G)]
    assert reached == [(12, 1, 1), *stages]
    reached = [tuple(reaching(D, conv, images).shape[1:]) for conv in convolutions(D)]
    assert reached == [(channels, size, size), *reversed(stages)]


def test_twice_the_width_is_the_papers() -> None:
    with torch.device("meta"):
        G, D = generator(ngf=128, size=64), discriminator(ndf=128, size=64)
    assert [conv.out_channels for conv in convolutions(G)] == [1024, 512, 256, 128, 3]
    assert [conv.in_channels for conv in convolutions(D)] == [3, 128, 256, 512, 1024]


@pytest.mark.parametrize("make", [generator, discriminator])
def test_a_size_without_nets_is_refused(make: Callable) -> None:
    assert SIZES == (32, 64, 128)
    with refused(48, *SIZES, error=ValueError):
        make(size=48)


# ---------------------------------------------------------------------- the rows of the specification


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n_classes", [0, 3])
def test_convolution_then_norm_then_activation(size: int, n_classes: int) -> None:
    with torch.device("meta"):
        G, D = generator(size=size, n_classes=n_classes), discriminator(size=size, n_classes=n_classes)
    stages = {32: 3, 64: 4, 128: 5}[size]
    hidden_of_G = [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU] * stages
    assert [type(layer) for layer in G.main] == [*hidden_of_G, nn.ConvTranspose2d, nn.Tanh]
    hidden_of_D = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * (stages - 1)
    assert [type(layer) for layer in D.main] == [nn.Conv2d, nn.LeakyReLU, *hidden_of_D, nn.Conv2d]
    slopes = [layer.negative_slope for layer in D.main if isinstance(layer, nn.LeakyReLU)]
    assert slopes == [0.2] * stages
    at_4 = [(4, 1, 0)]
    assert [geometry(conv) for conv in convolutions(G)] == at_4 + [(4, 2, 1)] * stages
    assert [geometry(conv) for conv in convolutions(D)] == [(4, 2, 1)] * stages + at_4


@pytest.mark.parametrize(
    ("norm", "biases_of_G", "biases_of_D"),
    [
        ("batch", [False] * 4, [False] * 4),
        ("syncbatch", [False] * 4, [False] * 4),
        ("instance", [True, True, True, False], [False, True, True, False]),
        ("none", [True, True, True, False], [False, True, True, False]),
    ],
)
def test_only_a_norm_without_weights_leaves_a_bias_to_its_convolution(
    norm: str, biases_of_G: list[bool], biases_of_D: list[bool]
) -> None:
    layer = get_norm_layer(norm)
    G, D = generator(norm=layer), discriminator(norm=layer)
    for net, expected in ((G, biases_of_G), (D, biases_of_D)):
        assert [conv.bias is not None for conv in convolutions(net)] == expected
    assert [type(G.main[index]) for index in (1, 4, 7)] == [type(layer(1))] * 3
    assert [type(D.main[index]) for index in (3, 6)] == [type(layer(1))] * 2
    z, x = inputs(2)
    assert D(G(z)).shape == D(x).shape == (2,)


def test_all_convolutions_of_both_nets_get_the_standard_deviation_0_02() -> None:
    torch.manual_seed(0)
    G, D = init_weights(generator(ngf=32)), init_weights(discriminator(ndf=32))
    for conv in (*convolutions(G), *convolutions(D)):
        assert abs(conv.weight.std().item() - 0.02) < 0.002
        assert abs(conv.weight.mean().item()) < 0.002
    for net in (G, D):
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        weights = torch.cat([norm.weight for norm in norms])
        assert abs(weights.mean().item() - 1) < 0.01 and abs(weights.std().item() - 0.02) < 0.005
        assert all(norm.bias.abs().max() == 0 for norm in norms)


@pytest.mark.parametrize("name", ["plain", *FORMS])
def test_logits_come_without_a_sigmoid(name: str) -> None:
    _, D = nets(name)
    _, x = inputs(6)
    before = D(x, *labels(name, 6))
    assert before.shape == (6,)
    last = D.last if name == "cgan_mlp" else D.main[-1]
    linear_in = [*last.parameters(), *([D.embed.weight] if name == "projection" else [])]
    with torch.no_grad():
        for parameter in linear_in:
            parameter *= -100
    after = D(x, *labels(name, 6))
    assert after.abs().max() > 1
    assert torch.allclose(after, -100 * before, rtol=1e-3)


@pytest.mark.parametrize("name", ["plain", *FORMS])
def test_images_come_with_tanh(name: str) -> None:
    G, _ = nets(name)
    z, _ = inputs(6)
    before = G(z, *labels(name, 6)).atanh()
    last = G.last if name == "cgan_mlp" else G.main[-2]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter *= 3
    assert before.abs().max() > 1e-2
    assert torch.allclose(G(z, *labels(name, 6)), (3 * before).tanh(), atol=1e-5)


@pytest.mark.parametrize("name", ["plain", *FORMS])
def test_a_batch_of_one_is_enough(name: str) -> None:
    G, D = nets(name)
    label = labels(name, 1)
    for training in (True, False):
        images = G.train(training)(torch.randn(1, 12), *label)
        assert images.shape == (1, 3, 32, 32)
        assert images.isfinite().all() and images.std() > 0
        assert D.train(training)(images, *label).shape == (1,)


@pytest.mark.parametrize("name", ["plain", *FORMS])
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    G, D = nets(name)
    label = labels(name, 6)
    z, _ = inputs(6)
    nn.functional.softplus(-D(G.train()(z, *label), *label)).mean().backward()
    for net in (G, D):
        for key, parameter in net.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key
        embed = getattr(net, "embed", None)
        if isinstance(embed, nn.Embedding):
            assert embed.weight.grad.abs().amax(1).min() > 0


# ---------------------------------------------------------------------- classes


@pytest.mark.parametrize("name", FORMS)
def test_both_nets_obey_their_label(name: str) -> None:
    for net, x in zip(nets(name), inputs(1), strict=True):
        out = net(torch.cat([x] * 4), torch.tensor([0, 1, 2, 1]))
        for one, other in ((0, 1), (1, 2), (0, 2)):
            assert (out[one] - out[other]).abs().max() > 1e-4
        assert torch.allclose(out[1], out[3], atol=1e-6)


def test_the_one_hot_label_stands_behind_the_noise_and_behind_the_image() -> None:
    G, D = nets("onehot")
    z, x = inputs(3)
    label = torch.tensor([2, 0, 1])
    rows = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert torch.equal(reaching(G, G.main[0], z, label)[:, :, 0, 0], torch.cat([z, rows], 1))
    joined = reaching(D, D.main[0], x, label)
    assert torch.equal(joined[:, :3], x)
    assert torch.equal(joined[:, 3:], rows[:, :, None, None].expand(3, 3, 32, 32))


@pytest.mark.parametrize("cond", ["embed", "projection"])
def test_a_learned_vector_stands_behind_the_noise(cond: str) -> None:
    G, D = generator(n_classes=3, cond=cond, embed_dim=5), discriminator(n_classes=3, cond=cond, embed_dim=5)
    z, x = inputs(3)
    label = torch.tensor([2, 0, 2])
    vectors = G.embed.weight[label]
    assert torch.equal(reaching(G, G.main[0], z, label)[:, :, 0, 0], torch.cat([z, vectors], 1))
    joined = reaching(D, D.main[0], x, label)
    assert torch.equal(joined[:, :3], x)
    if cond == "projection":
        assert joined.shape[1] == 3
        return
    planes = D.embed.weight[label][:, :, None, None].expand(3, 5, 32, 32)
    assert torch.equal(joined[:, 3:], planes)
    assert G.embed is not D.embed


@pytest.mark.parametrize("cond", ["onehot", "embed"])
def test_without_the_weights_of_its_channels_a_label_says_nothing(cond: str) -> None:
    G, D = nets(cond)
    with torch.no_grad():
        G.main[0].weight[12:] = 0
        D.main[0].weight[:, 3:] = 0
    label = torch.tensor([0, 1, 2])
    for net, x in zip((G, D), inputs(3), strict=True):
        assert torch.equal(net(x, label), net(x, label.flip(0)))
        assert (net(x, label) - net(x.flip(0), label)).abs().max() > 1e-4


def test_without_the_weights_of_its_channels_noise_says_nothing() -> None:
    G, _ = nets("onehot")
    with torch.no_grad():
        G.main[0].weight[:12] = 0
    z, label = torch.randn(3, 12), torch.tensor([0, 1, 2])
    assert torch.equal(G(z, label), G(z.flip(0), label))
    assert (G(z, label) - G(z, label.flip(0))).abs().max() > 1e-4


def test_projection_adds_the_inner_product_of_last_features_and_label() -> None:
    _, D = nets("projection")
    _, x = inputs(3)
    label = torch.tensor([2, 0, 1])
    features = reaching(D, D.main[-1], x, label)
    assert features.shape == (3, 32, 4, 4)
    plain = D.main[-1](features).flatten()
    logits = D(x, label)
    for index, one in enumerate(features):
        inner = sum(torch.dot(D.embed.weight[label[index]], one[:, i, j]) for i in range(4) for j in range(4))
        assert abs(inner) > 1e-2
        assert abs(plain[index] + inner - logits[index]) < 1e-4


@pytest.mark.parametrize("name", FORMS)
def test_float_labels_are_mixtures_of_classes(name: str) -> None:
    label = torch.tensor([0, 2])
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    mixed = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]])
    for net, x in zip(nets(name), inputs(2), strict=True):
        assert torch.allclose(net(x, label), net(x, weights), atol=1e-6)
        between = net(x, mixed)
        for end in (weights, weights.roll(1, 1)):
            assert (between - net(x, end)).abs().max() > 1e-5


def test_a_mixture_gives_the_mixture_of_planes_and_of_vectors() -> None:
    z, x = inputs(1)
    mixed = torch.tensor([[0.25, 0.75, 0.0]])
    G, D = nets("onehot")
    assert torch.equal(reaching(G, G.main[0], z, mixed)[:, 12:, 0, 0], mixed)
    assert torch.equal(reaching(D, D.main[0], x, mixed)[:, 3:, 5, 7], mixed)
    G, D = nets("embed")
    for net, given, start in ((G, z, 12), (D, x, 3)):
        expected = 0.25 * net.embed.weight[0] + 0.75 * net.embed.weight[1]
        assert torch.allclose(reaching(net, net.main[0], given, mixed)[0, start:, 0, 0], expected)
    _, D = nets("projection")
    ends = [D(x, torch.tensor([index])) for index in (0, 1)]
    assert torch.allclose(D(x, mixed), 0.25 * ends[0] + 0.75 * ends[1], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "label", "told"),
    [
        ("plain", torch.tensor([0, 1]), r"label \(2,\) .* 0 classes"),
        ("plain", torch.full((2, 3), 1 / 3), r"label \(2, 3\) .* 0 classes"),
        *[(name, None, "label None .* 3 classes") for name in FORMS],
        *[(name, torch.tensor([0]), r"label \(1,\) .* 3 classes") for name in FORMS],
        *[(name, torch.eye(4)[:2], r"label \(2, 4\) .* 3 classes") for name in FORMS],
    ],
)
def test_a_label_that_does_not_fit_is_told_with_the_shapes(
    name: str, label: Tensor | None, told: str
) -> None:
    for net, x in zip(nets(name), inputs(2), strict=True):
        shape = ", ".join(map(str, x.shape))
        with pytest.raises(AssertionError, match=rf"{told}") as error:
            net(x, label)
        assert f"input ({shape})" in str(error.value)


# ---------------------------------------------------------------------- the paper's MLP


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (5, 2), (64, 3)])
def test_the_mlp_takes_any_size(size: int, channels: int) -> None:
    G = mlp_generator(size=size, output_nc=channels)
    D = mlp_discriminator(size=size, input_nc=channels)
    label = torch.tensor([0, 2])
    images = G(torch.randn(2, 12), label)
    assert images.shape == (2, channels, size, size)
    assert D(images, label).shape == (2,)


def test_maxout_is_the_largest_of_its_pieces() -> None:
    layer = Maxout(6, units=3, pieces=4)
    x = torch.randn(5, 6)
    for row, out in zip(x, layer(x), strict=True):
        for unit in range(3):
            pieces = [torch.dot(layer.weight[4 * unit + i], row) + layer.bias[4 * unit + i] for i in range(4)]
            assert abs(max(pieces) - out[unit]) < 1e-5


def test_the_mlp_is_the_papers_formula() -> None:
    G, D = nets("cgan_mlp")
    z, x = inputs(3)
    label = torch.tensor([2, 0, 1])
    rows = torch.eye(3)[label]
    hidden = torch.cat([G.from_z(z).clamp_min(0), G.from_label(rows).clamp_min(0)], 1)
    images = torch.tanh(G.last(G.joint(hidden).clamp_min(0))).reshape(3, 3, 32, 32)
    assert torch.allclose(G(z, label), images, atol=1e-6)
    hidden = torch.cat([D.from_image(x.flatten(1)), D.from_label(rows)], 1)
    assert torch.allclose(D(x, label), D.last(D.joint(hidden))[:, 0], atol=1e-5)


@pytest.mark.parametrize("which", [0, 1])
def test_half_of_the_hidden_units_are_dropped_before_the_joint_layer_in_training_alone(which: int) -> None:
    net, x = nets("cgan_mlp")[which], inputs(8)[which]
    label = torch.arange(8) % 3
    kept = reaching(net, net.joint, x, label)
    assert torch.equal(net(x, label), net(x, label))
    net.train()
    dropped = reaching(net, net.joint, x, label)
    alive = kept != 0
    gone = alive & (dropped == 0)
    assert 0.45 < gone.sum().item() / alive.sum().item() < 0.55
    assert torch.allclose(dropped[alive & ~gone], 2 * kept[alive & ~gone])
    assert not torch.equal(net(x, label), net(x, label))
