"""Adam in one piece of C++ or one kernel, safe with weights of any memory format and states of any run."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

FUSED = {"cpu", "cuda"}
KINDS = {torch.float32, torch.float64}


class Adam(torch.optim.Adam):
    """torch's own numbers without torch's compiler, whose import takes longer than the rest of a start but torch.

    torch wraps these methods to keep them out of what it compiles, and loads it for that. Here none of
    them is compiled; the nets may be.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def adam(parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], fused: bool) -> Adam:
    """torch's Adam, with `fused` in its fused form where all parameters allow it.

    Either form takes up the state that the other has saved.
    """
    parameters = list(parameters)
    fused = fused and all(one.device.type in FUSED and one.dtype in KINDS for one in parameters)
    optimizer = Adam(parameters, lr=lr, betas=betas, fused=fused or None)
    optimizer.register_load_state_dict_pre_hook(_keep_form)
    optimizer.register_load_state_dict_post_hook(_align_states)
    if fused:
        optimizer.register_step_pre_hook(_align_gradients)
    return optimizer


def _keep_form(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    form = {"fused": optimizer.defaults["fused"]}
    return state | {"param_groups": [group | form for group in state["param_groups"]]}


# the fused form on the CPU walks through memory, and takes element for element whatever the strides say


def _align_states(optimizer: Optimizer) -> None:
    for parameter, state in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = _like(parameter, state[name])


def _align_gradients(optimizer: Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = _like(parameter, parameter.grad)


@torch.no_grad()
def _like(parameter: Tensor, value: Tensor) -> Tensor:
    same = value.stride() == parameter.stride()
    return value if same else torch.empty_like(parameter, dtype=value.dtype).copy_(value)
