"""Adam in its fused and its usual form: the same numbers, exchangeable states, any memory format."""

import copy

import pytest
import torch
from torch import Tensor, nn

from models.training.fused_adam import adam


def optimised(layout: torch.memory_format, forms: list[bool], grads: torch.memory_format) -> Tensor:
    """A weight after one step in each of `forms`, each of which loads the state of the one before."""
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 6, 3, 3, generator=generator, dtype=torch.float64))
    weight.data = weight.data.contiguous(memory_format=layout)
    state: dict | None = None
    for fused in forms:
        optimizer = adam([weight], lr=1e-2, betas=(0.5, 0.9), fused=fused)
        if state is not None:
            optimizer.load_state_dict(state)
        drawn = torch.randn(4, 6, 3, 3, generator=generator, dtype=torch.float64)
        weight.grad = drawn.contiguous(memory_format=grads)
        optimizer.step()
        state = copy.deepcopy(optimizer.state_dict())
        other = torch.channels_last if weight.is_contiguous() else torch.contiguous_format
        weight.data = weight.data.contiguous(memory_format=other)  # a run can be resumed in the other layout
    return weight.detach().contiguous()


@pytest.mark.parametrize("forms", [[True] * 3, [True, False, True], [False, True, True]])
@pytest.mark.parametrize("grads", [torch.contiguous_format, torch.channels_last])
def test_adam_is_the_same_in_both_forms_and_any_layout(forms: list[bool], grads: torch.memory_format) -> None:
    expected = optimised(torch.contiguous_format, [False] * 3, torch.contiguous_format)
    assert torch.allclose(optimised(torch.channels_last, forms, grads), expected, rtol=1e-13, atol=1e-15)


def test_adam_is_fused_where_it_can_be() -> None:
    for kind, fused in ((torch.float32, True), (torch.float64, True), (torch.bfloat16, None)):
        optimizer = adam([nn.Parameter(torch.zeros(2, dtype=kind))], lr=1, betas=(0.0, 0.9), fused=True)
        assert optimizer.defaults["fused"] is fused


@pytest.mark.parametrize("fused", [True, False])
def test_adam_computes_the_numbers_of_torch(fused: bool) -> None:
    """Bit for bit; hooks after a step are called with gradients enabled."""
    values, calls = [], []
    for make in (torch.optim.Adam, adam):
        generator = torch.Generator().manual_seed(0)
        weight = nn.Parameter(torch.randn(5, generator=generator))
        optimizer = make([weight], lr=0.1, betas=(0.5, 0.9), fused=fused)
        optimizer.register_step_post_hook(lambda *_: calls.append(torch.is_grad_enabled()))
        for _ in range(3):
            optimizer.zero_grad()
            (weight * torch.randn(5, generator=generator)).square().sum().backward()
            optimizer.step()
        values.append(weight.detach())
    assert torch.equal(*values)
    assert calls == [True] * 6
