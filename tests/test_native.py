"""The compiled layers equal torch's, in values and all gradients."""

import copy
from collections.abc import Callable

import pytest
import torch
from compiled_functions import compiled, distance
from torch import Tensor, nn

from models.nets.cpu import cpu_kernels, fused_norm, winograd
from models.nets.cpu import library as native
from models.nets.cpu.cpu_kernels import compiled_form
from models.nets.cpu.fused_norm import InstanceNormReLU, reference_norm
from models.nets.cpu.winograd import Kind, Winograd, reference_conv
from models.nets.layers import apply_spectral_norm

SHAPES = [  # N, C, K, H, W
    (1, 16, 8, 34, 34),
    (2, 5, 7, 13, 18),
    (1, 2, 2, 3, 3),
    (2, 9, 30, 40, 75),
    (1, 140, 130, 8, 8),
    (1, 600, 20, 8, 8),
    (20, 3, 5, 4, 4),
    (17, 6, 9, 8, 8),
    (5, 4, 7, 16, 16),
    (3, 8, 8, 32, 32),
    (2, 4, 4, 64, 64),
    (3, 2, 3, 130, 6),
    (50, 3, 4, 4, 6),
    (7, 4, 4, 12, 20),
    (40, 70, 70, 8, 8),
]


def inputs(
    N: int, C: int, K: int, H: int, W: int, layer: Kind, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    side = 4 if layer in (Kind.HALVING, Kind.DOUBLING) else 3
    channels = (C, K) if layer is Kind.DOUBLING else (K, C)
    drawn = [
        torch.randn(size, dtype=torch.float64, generator=generator)
        for size in ((N, C, H, W), (*channels, side, side), (K,))
    ]
    return [one.to(dtype).requires_grad_() for one in drawn]


@compiled
@pytest.mark.parametrize("layer", Kind)
@pytest.mark.parametrize(("N", "C", "K", "H", "W"), SHAPES)
def test_winograd_equals_the_direct_convolution(N: int, C: int, K: int, H: int, W: int, layer: Kind) -> None:
    def all_of(form: Callable, values: list[Tensor]) -> list[Tensor]:
        y = form(*values, layer)
        g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(y.dtype)
        return [y, *torch.autograd.grad(y, values, g)]

    right = all_of(reference_conv, inputs(N, C, K, H, W, layer))
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        found = all_of(Winograd.apply, inputs(N, C, K, H, W, layer, dtype))
        assert max(distance(a, b) for a, b in zip(found, right, strict=True)) < bound, dtype


@compiled
def test_a_batch_in_blocks_is_the_whole_batch() -> None:
    """The transforms of so many images exceed the cache; the gradient of the weight is summed over blocks."""
    x, w, b = inputs(70, 24, 40, 32, 32, Kind.ZEROS)
    y = Winograd.apply(x, w, b, Kind.ZEROS)
    right = reference_conv(x, w, b, Kind.ZEROS)
    found, wanted = (torch.autograd.grad(one.square().sum(), (x, w, b)) for one in (y, right))
    assert distance(y, right) < 1e-12
    assert all(distance(a, b) < 1e-12 for a, b in zip(found, wanted, strict=True))


@compiled
@pytest.mark.parametrize("layer", [Kind.REFLECTED, Kind.HALVING, Kind.DOUBLING])
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1)])
def test_some_inputs_without_gradient(layer: Kind, wanted: tuple[int, ...]) -> None:
    values = inputs(2, 5, 6, 8, 10, layer)
    for index, value in enumerate(values):
        value.requires_grad_(index in wanted)
    learning = [values[index] for index in wanted]
    found = torch.autograd.grad(Winograd.apply(*values, layer).square().sum(), learning)
    right = torch.autograd.grad(reference_conv(*values, layer).square().sum(), learning)
    assert all(distance(a, b) < 1e-12 for a, b in zip(found, right, strict=True))


@compiled
@pytest.mark.parametrize("layer", Kind)
def test_second_derivatives(layer: Kind) -> None:
    def penalty(conv: Callable, norm: Callable) -> Tensor:
        x, w, b = inputs(1, 3, 4, 8, 8, layer)
        y = norm(conv(x, w, b, layer), True, 1e-5)
        (g,) = torch.autograd.grad(y.tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), w)[0]

    found = penalty(Winograd.apply, InstanceNormReLU.apply)
    assert distance(found, penalty(reference_conv, reference_norm)) < 1e-12


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "unpadded": lambda: nn.Conv2d(6, 5, 3),
    "zeros": lambda: nn.Conv2d(6, 5, 3, padding=1, bias=False),
    "reflected": lambda: nn.Conv2d(6, 5, 3, padding=1, padding_mode="reflect"),
    "halving": lambda: nn.Conv2d(6, 5, 4, 2, 1),
    "doubling": lambda: nn.ConvTranspose2d(6, 5, 4, 2, 1),
}


@compiled
@pytest.mark.parametrize("form", LAYERS)
@pytest.mark.parametrize("spectral", [False, True])
def test_a_converted_layer_equals_the_original(
    form: str, spectral: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, values, copies and the gradient that goes through a weight that is a function of a parameter."""
    monkeypatch.setattr(winograd, "LEAST_TILES", 0)
    reference = LAYERS[form]().double()
    if spectral:
        reference = apply_spectral_norm(nn.Sequential(reference))[0]
    fast = compiled_form(copy.deepcopy(reference))
    x = torch.randn(3, 6, 8, 10, dtype=torch.float64, requires_grad=True)
    ran: list[object] = []
    monkeypatch.setattr(winograd, "call", lambda *words: ran.append(words[0]) or native.call(*words))
    for one in (fast, copy.deepcopy(fast)):
        assert list(one.state_dict()) == list(reference.state_dict())
        found, right = one(x), reference(x)
        assert distance(found, right) < 1e-12
        found, right = (
            torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])
            for y, layer in ((found, one), (right, reference))
        )
        assert all(distance(a, b) < 1e-12 for a, b in zip(found, right, strict=True))
    assert len(ran) >= 4


class Scaled(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_other_convolutions_and_subclasses_stay() -> None:
    assert not cpu_kernels.is_worth_converting(Scaled(64, 64, 3))
    assert cpu_kernels.is_worth_converting(nn.Conv2d(64, 64, 3))
    for layer in (
        nn.Conv2d(6, 6, 3, dilation=2),
        nn.Conv2d(6, 6, 3, groups=2),
        nn.Conv2d(6, 6, 3, padding="same"),
        nn.Conv2d(6, 6, (3, 1)),
        nn.Conv2d(6, 6, 3, 2, 1),
        nn.Conv2d(6, 6, 4, 2, 1, padding_mode="reflect"),
        nn.ConvTranspose2d(6, 6, 4, 2, 1, output_padding=1),
        nn.ConvTranspose2d(6, 6, 3, 1, 1),
        nn.Linear(3, 3),
    ):
        assert winograd.kind_of(layer) is None, layer


@compiled
def test_weights_changed_without_autograd_are_used() -> None:
    conv = nn.Conv2d(64, 64, 3).double()
    x = torch.randn(1, 64, 12, 12, dtype=torch.float64)
    conv = compiled_form(conv)
    conv(x)
    conv.weight.data.mul_(-1.5)
    assert distance(conv(x), reference_conv(x, conv.weight, conv.bias, Kind.UNPADDED)) < 1e-12


@compiled
def test_backward_after_the_weight_changed_fails_as_torch_does() -> None:
    conv = compiled_form(nn.Conv2d(3, 3, 3))
    y = conv(torch.randn(1, 3, 40, 40, requires_grad=True))
    with torch.no_grad():
        conv.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@compiled
def test_a_converted_net_keeps_parameters_hooks_and_mode() -> None:
    conv = apply_spectral_norm(nn.Conv2d(64, 128, 3, padding=1)).requires_grad_(False).eval()
    net = nn.Sequential(nn.ReLU(), conv, nn.Conv2d(128, 64, 3, padding=1))
    outputs: list[int] = []
    hook = conv.register_forward_hook(lambda module, inputs, output: outputs.append(1))
    before = list(net.named_parameters())
    state = {key: value.clone() for key, value in net.state_dict().items()}
    assert cpu_kernels.speed_up(net) and isinstance(net[1], winograd.WinogradConv2d) and net[1] is not conv
    assert [name for name, _ in before] == [name for name, _ in net.named_parameters()]
    assert all(old is new for (_, old), new in zip(before, net.parameters(), strict=True))
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())
    assert not net[1].training and net[2].training
    for passes in (1, 1):
        net(torch.randn(1, 64, 8, 8))
        assert len(outputs) == passes
        hook.remove()


@compiled
@pytest.mark.parametrize("first", ["halving", "conv", "norm"])
def test_second_derivatives_where_features_come_channels_last(first: str) -> None:
    def penalty(net: nn.Module) -> Tensor:
        # two images: with one, torch's norm gives wrong gradients here
        x = torch.randn(2, 64, 34, 34, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        (g,) = torch.autograd.grad(net(x).tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), x)[0]

    torch.manual_seed(0)
    layers = [nn.ReflectionPad2d(1), nn.Conv2d(64, 64, 3)]
    if first == "norm":
        layers.insert(0, nn.InstanceNorm2d(64))
    layers.insert(0 if first == "halving" else len(layers), nn.Conv2d(64, 64, 4, 2, 1))
    reference = nn.Sequential(*layers).double()
    fast = copy.deepcopy(reference)
    assert cpu_kernels.speed_up(fast)
    assert distance(penalty(fast), penalty(reference)) < 1e-12


@compiled
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", [(1, 3, 5, 7), (2, 4, 32, 32), (1, 2, 131, 130), (1, 2, 3, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norm_takes_gradients_of_any_layout(
    relu: bool, size: tuple[int, ...], layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, g = (torch.randn(size, dtype=torch.float64, generator=generator) * 3 + 2 for _ in range(2))
    x.requires_grad_()
    right, found = reference_norm(x, relu, 1e-5), InstanceNormReLU.apply(x, relu, 1e-5)
    (wanted,) = torch.autograd.grad(right, x, g)
    (given,) = torch.autograd.grad(found, x, g.contiguous(memory_format=layout))
    assert distance(found, right) < 1e-12
    assert distance(given, wanted) < 1e-12
    assert distance(InstanceNormReLU.apply(x.detach().float(), relu, 1e-5), right) < 1e-6


@compiled
def test_converted_layers_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(64, 64, 3), nn.InstanceNorm2d(64), nn.ReLU())
    x = torch.randn(2, 64, 30, 31)
    right, keys = net(x), net.state_dict().keys()
    assert cpu_kernels.speed_up(net) and net.state_dict().keys() == keys
    assert distance(net(x.contiguous(memory_format=torch.channels_last)), right) < 1e-5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert distance(net(x), right) < 2e-2
    for module in (winograd, fused_norm):
        monkeypatch.setattr(module, "usable", lambda x: False)
    assert torch.equal(net(x), right)
