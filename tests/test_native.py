"""The compiled layers are torch's own, in values and all gradients; and how they get compiled."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from torch import Tensor, nn

from models.nets import fast, fused_norm, winograd
from models.nets.fused_norm import InstanceNormReLU, plain_norm
from models.nets.native import library as native
from models.nets.winograd import Winograd, direct

compiled = pytest.mark.skipif(native.library() is None, reason="no C++ compiler builds the functions here")


def distance(found: Tensor, right: Tensor) -> float:
    return ((found.double() - right.double()).norm() / right.double().norm()).item()


SHAPES = [  # N, C, K, H, W, pad
    (1, 16, 8, 34, 34, 0),
    (2, 5, 7, 13, 18, 1),
    (1, 2, 2, 3, 3, 0),
    (3, 2, 3, 2, 2, 1),
    (2, 9, 30, 40, 75, 1),
    (1, 140, 130, 8, 8, 1),
    (1, 600, 20, 8, 8, 1),
]


def inputs(N: int, C: int, K: int, H: int, W: int, kind: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = [
        torch.randn(size, dtype=torch.float64, generator=generator)
        for size in ((N, C, H, W), (K, C, 3, 3), (K,))
    ]
    return [one.to(kind).requires_grad_() for one in drawn]


@compiled
@pytest.mark.parametrize(("N", "C", "K", "H", "W", "pad"), SHAPES)
def test_winograd_is_the_direct_convolution(N: int, C: int, K: int, H: int, W: int, pad: int) -> None:
    def all_of(form: Callable, values: list[Tensor]) -> list[Tensor]:
        y = form(*values, pad)
        g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(y.dtype)
        return [y, *torch.autograd.grad(y, values, g)]

    right = all_of(direct, inputs(N, C, K, H, W))
    for kind, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        found = all_of(Winograd.apply, inputs(N, C, K, H, W, kind))
        assert max(distance(a, b) for a, b in zip(found, right, strict=True)) < bound, kind


@compiled
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_one_input_without_gradient(frozen: int) -> None:
    values = inputs(2, 5, 6, 9, 10)
    values[frozen].requires_grad_(False)
    wanted = [value for value in values if value.requires_grad]
    found = torch.autograd.grad(Winograd.apply(*values, 1).square().sum(), wanted)
    right = torch.autograd.grad(direct(*values, 1).square().sum(), wanted)
    assert all(distance(a, b) < 1e-12 for a, b in zip(found, right, strict=True))


@compiled
def test_second_derivatives() -> None:
    def penalty(conv: Callable, norm: Callable) -> Tensor:
        x, w, b = inputs(1, 3, 4, 8, 8)
        y = norm(conv(x, w, b, 1), True, 1e-5)
        (g,) = torch.autograd.grad(y.tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), w)[0]

    assert distance(penalty(Winograd.apply, InstanceNormReLU.apply), penalty(direct, plain_norm)) < 1e-12


@compiled
def test_weights_that_change_behind_autograd_are_seen() -> None:
    conv = nn.Conv2d(64, 64, 3).double()
    x = torch.randn(1, 64, 12, 12, dtype=torch.float64)
    winograd.convert(conv, reflect=True)
    conv(x)
    conv.weight.data.mul_(-1.5)
    assert distance(conv(x), direct(x, conv.weight, conv.bias, 1)) < 1e-12
    assert distance(nn.Conv2d.forward(conv, x), conv(x)) < 1e-12


@compiled
def test_backward_after_the_weight_changed_fails_as_torch_does() -> None:
    conv = nn.Conv2d(3, 3, 3)
    winograd.convert(conv, reflect=False)
    y = conv(torch.randn(1, 3, 8, 8, requires_grad=True))
    with torch.no_grad():
        conv.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


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
    right, found = plain_norm(x, relu, 1e-5), InstanceNormReLU.apply(x, relu, 1e-5)
    (wanted,) = torch.autograd.grad(right, x, g)
    (given,) = torch.autograd.grad(found, x, g.contiguous(memory_format=layout))
    assert distance(found, right) < 1e-12
    assert distance(given, wanted) < 1e-12
    assert distance(InstanceNormReLU.apply(x.detach().float(), relu, 1e-5), right) < 1e-6


@compiled
def test_converted_layers_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(64, 64, 3), nn.InstanceNorm2d(64), nn.ReLU())
    x = torch.randn(2, 64, 10, 11)
    right, keys = net(x), net.state_dict().keys()
    assert fast.speed_up(net) and net.state_dict().keys() == keys
    assert distance(net(x.contiguous(memory_format=torch.channels_last)), right) < 1e-5
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert distance(net(x), right) < 2e-2
    for module in (winograd, fused_norm):
        monkeypatch.setattr(module, "usable", lambda x: False)
    assert torch.equal(net(x), right)


@compiled
def test_two_processes_build_at_once(tmp_path: Path) -> None:
    compiler = tmp_path / "slow-c++"
    compiler.write_text(
        '#!/bin/sh\nsleep 0.5\nfor out; do :; done\nexec c++ -shared -fPIC -x c++ /dev/null -o "$out"\n'
    )
    compiler.chmod(0o755)
    code = "from models.nets.native.library import library; raise SystemExit(library() is None)"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "CXX": str(compiler)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [one.wait(120) for one in both] == [0, 0]
    (made_once,) = (tmp_path / "cache" / "zebrawood").iterdir()
    assert made_once.suffix == ".so"


@compiled
@pytest.mark.parametrize("first", ["norm", "conv"])
def test_second_derivatives_where_features_come_channels_last(first: str) -> None:
    def penalty(net: nn.Module) -> Tensor:
        x = inputs(2, 64, 64, 8, 8)[0].detach().contiguous(memory_format=torch.channels_last).requires_grad_()
        (g,) = torch.autograd.grad(net(x).tanh().sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), x)[0]

    torch.manual_seed(0)
    layers = [nn.ReflectionPad2d(1), nn.Conv2d(64, 64, 3)]
    layers.insert(0 if first == "norm" else 2, nn.InstanceNorm2d(64))
    plain = nn.Sequential(*layers).double()
    swift = copy.deepcopy(plain)
    assert fast.speed_up(swift)
    assert distance(penalty(swift), penalty(plain)) < 1e-12
