"""Adam in its fused form where possible, for every memory format, without importing torch's compiler.

torch wraps the methods of optimizers to exclude them from compilation, and therefore imports torch._dynamo with the
first optimizer, which takes 1.1 s on a CPU. This project compiles no optimizers, so Adam has the unwrapped methods.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Adam(torch.optim.Adam):
    """torch.optim.Adam, which computes the same numbers."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def adam(parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], fused: bool) -> Adam:
    """torch's Adam; with `fused` in its fused form if all parameters allow it.

    Each form can load the state that the other has saved.
    """
    parameters = list(parameters)
    dtypes = (torch.float32, torch.float64)
    fused = fused and all(p.device.type in ("cpu", "cuda") and p.dtype in dtypes for p in parameters)
    optimizer = Adam(parameters, lr=lr, betas=betas, fused=fused or None)
    optimizer.register_load_state_dict_pre_hook(_keep_form)
    optimizer.register_load_state_dict_post_hook(_align_states)
    if fused:
        optimizer.register_step_pre_hook(_align_gradients)
    return optimizer


def _keep_form(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    form = {"fused": optimizer.defaults["fused"]}
    return state | {"param_groups": [group | form for group in state["param_groups"]]}


# The fused form on the CPU reads memory in order and ignores strides, so all tensors must have those of the weight.


def _align_states(optimizer: Optimizer) -> None:
    for parameter, state in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = _with_strides_of(parameter, state[name])


def _align_gradients(optimizer: Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = _with_strides_of(parameter, parameter.grad)


@torch.no_grad()
def _with_strides_of(parameter: Tensor, value: Tensor) -> Tensor:
    same = value.stride() == parameter.stride()
    return value if same else torch.empty_like(parameter, dtype=value.dtype).copy_(value)
