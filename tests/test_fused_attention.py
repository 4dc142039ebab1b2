"""Compiled attention equals torch's product and softmax, in values, gradients and second derivatives."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from compiled_functions import compiled
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.nets.attention import SelfAttention2d
from models.nets.cpu import fused_attention
from models.nets.cpu.fused_attention import Attention, attend, padded
from util.reference_path import reference_path

SHAPES = [  # N, d, e, H, W, Hk, Wk
    (1, 8, 64, 16, 16, 16, 16),
    (5, 3, 7, 5, 7, 3, 4),
    (2, 8, 24, 9, 17, 5, 9),
    (1, 33, 70, 12, 13, 12, 13),
    (3, 1, 8, 1, 1, 3, 50),
    (1, 4, 5, 31, 33, 1, 1),
    (64, 2, 4, 4, 4, 2, 2),
    (1, 2, 600, 10, 13, 13, 11),  # fewer panels at a time than there are
]


def stepwise(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return fused_attention.reference_attention(query, key, value)[0]


def distance(found: Tensor, right: Tensor) -> float:
    """Relative to `right`, absolute where that is small: the gradient of the key's bias is 0."""
    return ((found.double() - right.double()).norm() / right.double().norm().clamp(min=1)).item()


def inputs(
    N: int, d: int, e: int, H: int, W: int, Hk: int, Wk: int, kind: torch.dtype = torch.float64
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = [
        torch.randn(size, dtype=torch.float64, generator=generator)
        for size in ((N, d, H, W), (N, d, Hk, Wk), (N, e, Hk, Wk))
    ]
    return [one.to(kind).requires_grad_() for one in drawn]


def all_of(form: Callable[..., Tensor], values: list[Tensor]) -> list[Tensor]:
    """The output, and the gradients of all inputs for one that is drawn."""
    y = form(*values)
    g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y, *torch.autograd.grad(y, values, g)]


@compiled
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_product_and_softmax(shape: tuple[int, ...], threads: int) -> None:
    torch.set_num_threads(threads)
    right = all_of(stepwise, inputs(*shape))
    for kind, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        found = all_of(Attention.apply, inputs(*shape, kind=kind))
        assert max(distance(a, b) for a, b in zip(found, right, strict=True)) < bound, kind


@compiled
def test_results_are_the_same_bits_in_every_run() -> None:
    torch.set_num_threads(3)
    values = inputs(2, 4, 8, 24, 24, 24, 24, kind=torch.float32)
    first = all_of(Attention.apply, values)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(all_of(Attention.apply, values), first, strict=True))


@compiled
@pytest.mark.parametrize("height", [-80.0, 80.0])
def test_logits_of_any_height(height: float) -> None:
    """A first channel of 1 and `height` moves all logits of a row alike, which changes nothing."""

    def at_height(kind: torch.dtype) -> list[Tensor]:
        query, key, value = (one.detach() for one in inputs(2, 4, 8, 11, 12, 11, 12))
        query[:, 0], key[:, 0] = 1, height
        return [one.to(kind).requires_grad_() for one in (query, key, value)]

    right = all_of(stepwise, at_height(torch.float64))
    # float32 keeps of a logit of 80 no more than 8e-6
    for kind, bound in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        found = all_of(Attention.apply, at_height(kind))
        assert max(distance(a, b) for a, b in zip(found, right, strict=True)) < bound, kind


@compiled
def test_rows_that_choose_one_key() -> None:
    """Logits from -80 to 80 in one row: the least weights vanish, and nothing becomes infinite."""
    query = torch.tensor([80.0, -80.0, 1e-3]).view(1, 1, 1, 3).requires_grad_()
    key = torch.linspace(-1, 1, 99).view(1, 1, 9, 11).requires_grad_()
    value = torch.arange(99.0).view(1, 1, 9, 11).requires_grad_()
    found = all_of(Attention.apply, [query, key, value])
    right = all_of(stepwise, [one.detach().double().requires_grad_() for one in (query, key, value)])
    assert all(torch.isfinite(one).all() for one in found)
    assert max(distance(a, b) for a, b in zip(found, right, strict=True)) < 1e-5


@compiled
def test_nan_and_infinity_are_not_hidden() -> None:
    query, key, value = (one.detach() for one in inputs(1, 4, 8, 10, 10, 10, 10, kind=torch.float32))
    query[0, 0, 3, 3] = torch.nan
    assert Attention.apply(query, key, value)[0, :, 3, 3].isnan().all()
    query[0, 0, 3, 3], value[0, 5, 9, 9] = 0, torch.inf
    assert not Attention.apply(query, key, value)[0, 5].isfinite().any()


@compiled
@pytest.mark.parametrize("needs", list(product([False, True], repeat=3))[1:])
def test_gradients_of_some_inputs_alone(needs: tuple[bool, ...]) -> None:
    values = inputs(2, 3, 5, 8, 9, 8, 9)
    for one, needed in zip(values, needs, strict=True):
        one.requires_grad_(needed)
    wanted = [one for one in values if one.requires_grad]
    for order in (False, True):
        found = torch.autograd.grad(Attention.apply(*values).square().sum(), wanted, create_graph=order)
        right = torch.autograd.grad(stepwise(*values).square().sum(), wanted, create_graph=order)
        assert all(distance(a, b) < 1e-12 for a, b in zip(found, right, strict=True))


@compiled
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_inputs_and_gradients_of_any_layout_and_second_derivatives(layout: torch.memory_format) -> None:
    def penalty(form: Callable[..., Tensor], layout: torch.memory_format) -> list[Tensor]:
        values = [one.detach().contiguous(memory_format=layout).requires_grad_() for one in inputs(2, *sizes)]
        y = form(*values).contiguous(memory_format=layout).tanh()
        first = torch.autograd.grad(y.sum(), values, create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), values)
        return [y, *first, *second]

    sizes = (3, 5, 8, 9, 8, 9)
    right = penalty(stepwise, torch.contiguous_format)
    assert all(distance(a, b) < 1e-12 for a, b in zip(penalty(attend, layout), right, strict=True))


def modules_values(module: SelfAttention2d, x: Tensor) -> list[Tensor]:
    y = module(x)
    return [y, *torch.autograd.grad(y.tanh().sum(), [x, *module.parameters()])]


def drawn_module(pooled: bool) -> SelfAttention2d:
    torch.manual_seed(1)
    module = SelfAttention2d(16, pooled=pooled).double()
    torch.nn.init.constant_(module.gamma, 0.7)
    return module


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("size", [(24, 20), (17, 19)])
@pytest.mark.parametrize("N", [1, 5])
def test_every_form_of_the_module_agrees(
    pooled: bool, size: tuple[int, int], N: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = drawn_module(pooled)
    x = torch.randn(N, 16, *size, dtype=torch.float64, requires_grad=True)
    with reference_path():
        right = modules_values(module, x)
    found = modules_values(module, x)
    monkeypatch.setattr(fused_attention, "usable", lambda x: False)
    fallen = modules_values(module, x)
    for a, b, c in zip(found, fallen, right, strict=True):
        assert distance(a, c) < 1e-12 and distance(b, c) < 1e-12


@pytest.mark.parametrize("pooled", [False, True])
def test_a_gradient_penalty_through_the_module(pooled: bool) -> None:
    def penalty(module: SelfAttention2d, x: Tensor) -> list[Tensor]:
        (g,) = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
        weights = [module.query.weight, module.key.weight, module.value.weight, module.gamma]
        return list(torch.autograd.grad((g.flatten(1).norm(dim=1) - 1).square().mean(), weights))

    module, x = drawn_module(pooled), torch.randn(2, 16, 17, 18, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        found = penalty(module, x)
    with reference_path():
        right = penalty(module, x)
    assert all(distance(a, b) < 1e-12 for a, b in zip(found, right, strict=True))


@compiled
def test_when_the_compiled_form_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(query: Tensor, *others: Tensor) -> str:
        return type(attend(query, *others).grad_fn).__name__

    large = inputs(1, 2, 4, 8, 8, 8, 8, kind=torch.float32)
    assert taken(*large) == "AttentionBackward"
    assert taken(*inputs(1, 2, 4, 8, 8, 3, 3)) != "AttentionBackward"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert taken(*large) != "AttentionBackward"
        assert distance(attend(*large), padded(*large)) == 0


@pytest.mark.parametrize(
    ("device", "given", "wanted"), [("cpu", (4, 32), (32, 32)), ("cuda", (4, 30), (8, 32))]
)
def test_each_device_gets_the_widths_that_its_kernel_needs(
    monkeypatch: pytest.MonkeyPatch, device: str, given: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert fused_attention.widths(device, *given) == wanted
    monkeypatch.setattr(fused_attention, "widths", lambda _, shared, own: wanted)
    query, key, value = (torch.randn(2, width, 5, 3, dtype=torch.float64) for width in (given[0], *given))
    right, _ = fused_attention.reference_attention(query, key, value)
    assert torch.allclose(fused_attention.padded(query, key, value), right, rtol=1e-12, atol=1e-13)
