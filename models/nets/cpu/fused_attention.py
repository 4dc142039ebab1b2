"""Softmax attention that never stores its map: compiled C++ on the CPU, torch's fused kernels elsewhere."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.nets.cpu.library import call, differentiable_gradients, require_shape, usable

LEAST_KEYS = 64  # with fewer, torch's product and softmax are faster than the compiled function


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query^T key) value, with all places of the maps as queries and keys, not divided by sqrt(d).

    query (N, d, H, W), key (N, d, Hk, Wk), value (N, e, Hk, Wk) with e >= d, all float32 or float64
    -> (N, e, H, W).
    """
    if not usable(query):
        return padded(query, key, value)
    if key.shape[2] * key.shape[3] < LEAST_KEYS or not query.numel():
        return reference_attention(query, key, value)[0]
    # contiguous() outside the function: a copy made inside would have no second derivatives
    return Attention.apply(query.contiguous(), key.contiguous(), value.contiguous())


def reference_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """attend() step by step: (N, e, H, W), and the map (N, H, W, Hk, Wk) whose rows sum to 1."""
    with torch.autocast(query.device.type, enabled=False):
        weights = torch.softmax(query.flatten(2).transpose(1, 2) @ key.flatten(2), dim=-1)
        mixed = weights @ value.flatten(2).transpose(1, 2)
    places = query.shape[2:]
    return mixed.transpose(1, 2).unflatten(2, places), weights.view(len(query), *places, *key.shape[2:])


def padded(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """attend() by torch's fused kernels, which need four dimensions, contiguous rows and certain widths."""
    width, places = value.shape[1], query.shape[2:]
    width_qk, width_v = widths(query.device.type, key.shape[1], width)
    q, k, v = _rows(query, width_qk), _rows(key, width_qk), _rows(value, width_v)
    with torch.autocast(query.device.type, enabled=False):
        mixed = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return mixed[:, 0, :, :width].transpose(1, 2).unflatten(2, places)


def widths(device: str, width_qk: int, width_v: int) -> tuple[int, int]:
    """The widths of query and key, and of the value, with which a device's kernel does not store the map.

    The kernel for CPUs needs the same width for all three, those for GPUs multiples of 8.
    """
    if device == "cpu":
        return max(width_qk, width_v), max(width_qk, width_v)
    return -(-width_qk // 8) * 8, -(-width_v // 8) * 8


def _rows(features: Tensor, width: int) -> Tensor:
    """(N, C, H, W) -> (N, 1, H*W, width); the new columns are zeros, which do not change products."""
    rows = features.flatten(2).transpose(1, 2)
    return F.pad(rows, (0, width - rows.shape[2])).unsqueeze(1).contiguous()


class Attention(torch.autograd.Function):
    """The compiled form with its exact gradients, which recompute the map; second derivatives store it."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """query (N, d, H, W), key (N, d, Hk, Wk), value (N, e, Hk, Wk), all contiguous -> (N, e, H, W).

        Raises:
            ValueError: the shapes do not fit together, or one of the tensors is empty.
        """
        if query.ndim != 4 or value.ndim != 4:
            raise ValueError(
                f"attention needs (N, C, H, W), not {tuple(query.shape)} and {tuple(value.shape)}"
            )
        n, d, places = len(query), query.shape[1], value.shape[2:]
        require_shape("query", query, *query.shape)
        require_shape("key", key, n, d, *places)
        require_shape("value", value, n, value.shape[1], *places)
        y = query.new_empty(len(query), value.shape[1], *query.shape[2:])
        # a row of the map is e^(logits - stats[0]) * stats[1]
        stats = query.new_empty(len(query), 2, *query.shape[2:])
        call("attend", query.dtype, query, key, value, y, stats, _sizes(query, value))
        ctx.save_for_backward(query, key, value, y, stats)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        query, key, value, y, stats = ctx.saved_tensors
        needs, inputs = ctx.needs_input_grad, (query, key, value)
        if torch.is_grad_enabled():  # create_graph: a gradient penalty differentiates this gradient
            return differentiable_gradients(
                lambda *qkv: reference_attention(*qkv)[0], inputs, needs, grads[0]
            )
        found = tuple(torch.empty_like(tensor) for tensor in inputs)
        gy, sizes = grads[0].contiguous(), _sizes(query, value)
        require_shape("the gradient", gy, *y.shape)
        call("attend_grad", query.dtype, gy, *inputs, y, stats, *found, sizes)
        return tuple(grad if needed else None for grad, needed in zip(found, needs, strict=True))


def _sizes(query: Tensor, value: Tensor) -> tuple[int, ...]:
    """The C++ struct Sizes."""
    (n, d, *places), (e, *keys) = query.shape, value.shape[1:]
    return n, d, e, places[0] * places[1], keys[0] * keys[1]
