"""DCGAN, its conditional forms and the conditional-GAN paper's MLP: published rows, keys, classes."""

import pytest
import torch
from torch import Tensor, nn

from models.nets.cgan_mlp import Maxout, MLPDiscriminator, MLPGenerator
from models.nets.dcgan import SIZES, DCGANDiscriminator, DCGANGenerator
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


def nets(cond: str) -> tuple[nn.Module, nn.Module]:
    """Small G and D of 3 classes in eval mode."""
    if cond == "cgan_mlp":
        return mlp_generator().eval(), mlp_discriminator().eval()
    return generator(n_classes=3, cond=cond).eval(), discriminator(n_classes=3, cond=cond).eval()


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


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


def test_the_mlp_has_the_sizes_of_the_paper() -> None:
    G, D = mlp_generator(z_dim=100, output_nc=1, size=28, n_classes=10), mlp_discriminator(n_classes=10)
    on_G = {"from_z": (200, 100), "from_label": (1000, 10), "joint": (1200, 1200), "last": (784, 1200)}
    on_D = {"from_image": (240 * 5, 3 * 32 * 32), "from_label": (50 * 5, 10), "joint": (240 * 4, 240 + 50)}
    for net, layers in ((G, on_G), (D, on_D | {"last": (1, 240)})):
        weights = {f"{name}.weight": shape for name, shape in layers.items()}
        assert shapes(net) == weights | {f"{name}.bias": shape[:1] for name, shape in layers.items()}


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
        ({"n_classes": 10}, {"main.0.weight": (110, 512, 4, 4)}, {"main.0.weight": (64, 13, 4, 4)}),
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_widths_double_towards_4_by_4(size: int, channels: int) -> None:
    stages = [(8 * size // (2 * side), side, side) for side in (4, 8, 16, 32, 64) if side < size]
    G, D = generator(size=size, output_nc=channels), discriminator(size=size, input_nc=channels)
    z = torch.randn(2, 12)
    images = G(z)
    assert images.shape == (2, channels, size, size) and D(images).shape == (2,)
    reached = [tuple(reaching(G, conv, z).shape[1:]) for conv in convolutions(G)]
    assert reached == [(12, 1, 1), *stages]
    reached = [tuple(reaching(D, conv, images).shape[1:]) for conv in convolutions(D)]
    assert reached == [(channels, size, size), *reversed(stages)]


@pytest.mark.parametrize("size", SIZES)
def test_convolution_then_norm_then_activation(size: int) -> None:
    with torch.device("meta"):
        G, D = generator(size=size, n_classes=3), discriminator(size=size, n_classes=3)
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
def test_a_learned_vector_is_concatenated_to_the_noise(cond: str) -> None:
    G, D = generator(n_classes=3, cond=cond), discriminator(n_classes=3, cond=cond)
    z, x = inputs(3)
    label = torch.tensor([2, 0, 2])
    vectors = G.embed.weight[label]
    assert torch.equal(reaching(G, G.main[0], z, label)[:, :, 0, 0], torch.cat([z, vectors], 1))
    joined = reaching(D, D.main[0], x, label)
    assert torch.equal(joined[:, :3], x)
    if cond == "projection":
        assert joined.shape[1] == 3
        return
    planes = D.embed.weight[label][:, :, None, None].expand(3, 50, 32, 32)
    assert torch.equal(joined[:, 3:], planes)
    assert G.embed is not D.embed


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
