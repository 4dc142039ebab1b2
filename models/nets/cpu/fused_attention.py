"""Softmax attention between feature maps without its map: on the CPU by our own C++, elsewhere by torch's kernels."""

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.nets.cpu import double_backward
from models.nets.cpu.library import call, usable

# with fewer keys the compiled panels are half empty, and torch's own product and softmax are quicker
LEAST_KEYS = 64


class Sizes(ctypes.Structure):
    """N images, d channels of query and key, e of the value, L queries, M keys."""

    _fields_ = [(name, ctypes.c_long) for name in ("N", "d", "e", "L", "M")]


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """At each place of the query, the mean of the values, weighted by the softmax of its products with the keys.

    query (N, d, H, W), key (N, d, Hk, Wk), value (N, e, Hk, Wk), e no less than d, all float32 or float64
    -> (N, e, H, W). The products are not divided by sqrt(d).
    """
    if not usable(query):
        return padded(query, key, value)
    if key.shape[2] * key.shape[3] < LEAST_KEYS:
        return reference_attention(query, key, value)[0]
    # a copy made within the function would have no second derivatives
    return Attention.apply(query.contiguous(), key.contiguous(), value.contiguous())


def reference_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """What everything here equals, step by step: (N, e, H, W), and the map (N, H, W, Hk, Wk) whose rows sum to 1."""
    with torch.autocast(query.device.type, enabled=False):
        weights = torch.softmax(query.flatten(2).transpose(1, 2) @ key.flatten(2), dim=-1)
        mixed = weights @ value.flatten(2).transpose(1, 2)
    places = query.shape[2:]
    return mixed.transpose(1, 2).unflatten(2, places), weights.view(len(query), *places, *key.shape[2:])


def padded(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """torch's fused kernels: they want four dimensions, rows in one piece, and widths to their liking."""
    width, places = value.shape[1], query.shape[2:]
    shared, own = widths(query.device.type, key.shape[1], width)
    sizes = (shared, shared, own)
    q, k, v = (_rows(one, size) for one, size in zip((query, key, value), sizes, strict=True))
    with torch.autocast(query.device.type, enabled=False):
        mixed = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return mixed[:, 0, :, :width].transpose(1, 2).unflatten(2, places)


def widths(device: str, shared: int, own: int) -> tuple[int, int]:
    """How wide a device's kernel wants query and key, and the value, not to hold the map: at least as given.

    The one for CPUs wants one width for all; that for GPUs multiples of 8, and takes two of them.
    """
    if device == "cpu":
        return max(shared, own), max(shared, own)
    return -(-shared // 8) * 8, -(-own // 8) * 8


def _rows(features: Tensor, width: int) -> Tensor:
    """(N, C, H, W) -> (N, 1, H*W, width), with zeros, which leave products as they are, in the new columns."""
    rows = features.flatten(2).transpose(1, 2)
    return F.pad(rows, (0, width - rows.shape[2])).unsqueeze(1).contiguous()


class Attention(torch.autograd.Function):
    """The compiled form with its exact gradients, which compute the map anew; second derivatives hold it."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """query (N, d, H, W), key (N, d, Hk, Wk), value (N, e, Hk, Wk), all contiguous -> (N, e, H, W)."""
        y = query.new_empty(len(query), value.shape[1], *query.shape[2:])
        stats = query.new_empty(len(query), 2, *query.shape[2:])  # a map's row is e^(logits - first) * second
        call("attend", query.dtype, query, key, value, y, stats, _sizes(query, value))
        ctx.save_for_backward(query, key, value, y, stats)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        query, key, value, y, stats = ctx.saved_tensors
        needs, inputs = ctx.needs_input_grad, (query, key, value)
        if torch.is_grad_enabled():  # create_graph: a gradient penalty differentiates what follows
            return double_backward.gradients(
                lambda *given: reference_attention(*given)[0], inputs, needs, grads[0]
            )
        given = tuple(torch.empty_like(one) for one in inputs)
        sizes = _sizes(query, value)
        call("attend_grad", query.dtype, grads[0].contiguous(), *inputs, y, stats, *given, sizes)
        return tuple(one if needed else None for one, needed in zip(given, needs, strict=True))


def _sizes(query: Tensor, value: Tensor) -> Sizes:
    (n, d, *places), (e, *keys) = query.shape, value.shape[1:]
    return Sizes(n, d, e, places[0] * places[1], keys[0] * keys[1])
