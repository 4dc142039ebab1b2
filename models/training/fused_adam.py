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

FUSED_DTYPES = (torch.float32, torch.float64)


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
    fused = fused and all(p.device.type in ("cpu", "cuda") and p.dtype in FUSED_DTYPES for p in parameters)
    optimizer = Adam(parameters, lr=lr, betas=betas, fused=fused or None)
    optimizer.register_load_state_dict_pre_hook(_checked_state)
    optimizer.register_load_state_dict_post_hook(_align_states)
    if fused:
        optimizer.register_step_pre_hook(_align_gradients)
    return optimizer


def _checked_state(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A loaded state with the settings of `optimizer`, whose form it keeps.

    Raises:
        ValueError: the state does not fit the parameters. torch does not check it, and the fused form would read
            and write beyond a tensor that is too small.
    """
    groups = optimizer.param_groups
    numbers = [list(group["params"]) for group in state["param_groups"]]
    parameters = [parameter for group in groups for parameter in group["params"]]
    by_number = dict(zip((number for group in numbers for number in group), parameters, strict=False))
    same_groups = [len(group) for group in numbers] == [len(group["params"]) for group in groups]
    if not (same_groups and len(by_number) == len(parameters) and state["state"].keys() <= by_number.keys()):
        raise ValueError("the optimizer's state is for other parameters")
    for number, values in state["state"].items():
        if set(values) != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError(f"the optimizer's state of parameter {number} is not that of Adam")
        for name, value in values.items():
            _check_value(f"{name} of parameter {number}", value, by_number[number], is_step=name == "step")
    own = [group | {"params": number} for group, number in zip(groups, numbers, strict=True)]
    return state | {"param_groups": own}


def _check_value(name: str, value: object, parameter: Tensor, *, is_step: bool) -> None:
    shape, dtypes = (torch.Size(), FUSED_DTYPES) if is_step else (parameter.shape, (parameter.dtype,))
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_meta:
        raise ValueError(f"{name} is not a tensor with values")
    if value.shape != shape or value.dtype not in dtypes:
        raise ValueError(f"{name} is {value.dtype} of the shape {tuple(value.shape)}, not {tuple(shape)}")
    if is_step and not (value >= 0 and value == value.floor() and value.isfinite()):
        raise ValueError(f"{name} is {value.item()}, not a number of steps")


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
