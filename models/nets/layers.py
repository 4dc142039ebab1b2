"""Parts that several families share: norms by name, spectral norm, batched forward passes, receptive field."""

from collections.abc import Iterable
from functools import partial
from typing import Protocol

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

from util.reference_path import is_reference_path


def full_precision(x: Tensor) -> Tensor:
    """float16 and bfloat16 become float32."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class Norm(Protocol):
    """The constructor of a norm layer.

    `affine` = with a learned gain and bias, if the norm can have them; `eps` is added to the variance.
    """

    def __call__(self, channels: int, /, *, affine: bool = ..., eps: float = ...) -> nn.Module: ...


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch norm over the joint batch of all ranks, on any device; torch's own runs on GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if x.is_cuda or not self.training or not dist.is_initialized():
            return super().forward(x)
        dtype, x = x.dtype, full_precision(x)
        sums = torch.cat([x.sum((0, 2, 3)), (x * x).sum((0, 2, 3)), x.new_tensor([x.numel() / x.shape[1]])])
        sums = all_reduce(sums)
        count = sums[-1]
        mean, square = sums[:-1].div(count).chunk(2)
        variance = (square - mean**2).clamp_min(0)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        x = (x - mean[None, :, None, None]) * torch.rsqrt(variance + self.eps)[None, :, None, None]
        if self.affine:
            x = x * self.weight[None, :, None, None] + self.bias[None, :, None, None]
        return x.to(dtype)


NORMS: dict[str, Norm] = {
    "batch": partial(nn.BatchNorm2d, affine=True, track_running_stats=True),
    "syncbatch": partial(SyncBatchNorm, affine=True, track_running_stats=True),
    "instance": partial(nn.InstanceNorm2d, affine=False, track_running_stats=False),
    "none": lambda channels, *, affine=False, eps=0.0: nn.Identity(),
}


def get_norm_layer(norm_type: str = "instance") -> Norm:
    """The constructor of a norm, called with the number of channels.

    Raises:
        ValueError: unknown name.
    """
    if norm_type not in NORMS:
        raise ValueError(f"unknown norm {norm_type!r}; known: {', '.join(NORMS)}")
    return NORMS[norm_type]


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm needs a bias; batch norm adds one itself."""
    return not isinstance(norm(1), _BatchNorm)


def upstream_has_bias(norm: Norm) -> bool:
    """Whether upstream's image-to-image nets have a bias in the convolutions before this norm: only if it is instance norm."""
    return isinstance(norm(1), nn.InstanceNorm2d)


class SpectralNorm(_SpectralNorm):
    """torch's spectral norm with one power iteration per update (Algorithm 1 of arXiv:1802.05957), not per forward.

    All forward passes of an update divide by the same sigma, so that accumulation over parts of a batch equals
    the whole batch, and one pass can judge real and fake images. BaseModel calls before_update() in each step.
    With `per_forward`, every forward pass in training mode makes an iteration instead, as in public code.

    `singular_values` are estimates of the `num_svs` largest ones, for logs.
    """

    _further_u: Tensor
    singular_values: Tensor

    def __init__(self, weight: Tensor, *, dim: int = 0, per_forward: bool = False, num_svs: int = 0) -> None:
        super().__init__(weight, dim=dim)
        self.per_forward = per_forward
        matrix = self._reshape_weight_to_matrix(weight)
        self.num_svs = min(num_svs, *matrix.shape)
        if num_svs:
            # a generator of its own, so that logging does not change the training
            further = torch.randn(self.num_svs - 1, len(matrix), generator=torch.Generator().manual_seed(0))
            self.register_buffer("_further_u", further.to(matrix))
            self.register_buffer("singular_values", matrix.new_zeros(self.num_svs))

    def forward(self, weight: Tensor) -> Tensor:
        """weight / sigma with sigma = u W v (Eq. 19 of arXiv:1802.05957), also under autocast in full precision."""
        with torch.autocast(weight.device.type, enabled=False):
            if self.per_forward and self.training:
                self.iterate(weight)
            sigma = torch.dot(self._u, torch.mv(self._reshape_weight_to_matrix(weight), self._v))
            return weight / sigma

    def before_update(self, weight: Tensor) -> None:
        """One power iteration, unless each forward pass makes one."""
        if not self.per_forward:
            self.iterate(weight)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """u <- W v / |W v|, then v <- W^T u / |W^T u|, as torch does; with `per_forward` v first, as public code does."""
        matrix = self._reshape_weight_to_matrix(weight)
        if self.per_forward:  # new tensors, because the graphs of earlier passes hold the old ones
            self._v = F.normalize(matrix.T @ self._u, dim=0, eps=self.eps)
            self._u = F.normalize(matrix @ self._v, dim=0, eps=self.eps)
        else:
            self._power_method(matrix, 1)
        if self.num_svs:
            self._estimate_further(matrix)

    def _estimate_further(self, matrix: Tensor) -> None:
        """One iteration for each further singular value: v <- W^T u, u <- W v, each orthogonal to the earlier ones."""
        us, vs = [self._u], [self._v]
        for u in self._further_u:
            vs.append(F.normalize(_orthogonal(matrix.T @ u, vs), dim=0, eps=self.eps))
            us.append(F.normalize(_orthogonal(matrix @ vs[-1], us), dim=0, eps=self.eps))
        self._further_u = torch.stack(us)[1:]
        self.singular_values = (torch.stack(us) @ matrix * torch.stack(vs)).sum(1)


def _orthogonal(x: Tensor, basis: list[Tensor]) -> Tensor:
    """x (D,) without its components along unit vectors (D,), by Gram-Schmidt."""
    for y in basis:
        x = x - torch.dot(x, y) * y
    return x


def apply_spectral_norm(
    net: nn.Module,
    layers: Iterable[nn.Module] | None = None,
    *,
    rows: str = "out",
    per_forward: bool = False,
    num_svs: int = 0,
) -> nn.Module:
    """Divide weights by their largest singular value (arXiv:1802.05957), in place, by a parametrization.

    Draw initial weights first. They are then saved as `parametrizations.weight.original`; the vectors u and v
    are buffers. `layers` = None means spectral_layers(net). The weight of a transposed convolution is
    (in, out, k, k): the rows of its matrix are the output channels, or with rows="in" the input channels, as in
    heykeetae's SAGAN. `per_forward` and `num_svs` are those of SpectralNorm.
    """
    assert rows in ("out", "in"), rows
    for layer in spectral_layers(net) if layers is None else list(layers):
        weight = layer.weight
        assert isinstance(weight, Tensor)
        rows_are_second = isinstance(layer, nn.ConvTranspose2d) and rows == "out"
        dim = 1 if rows_are_second else 0
        norm = SpectralNorm(weight, dim=dim, per_forward=per_forward, num_svs=num_svs)
        register_parametrization(layer, "weight", norm)
        norm.iterate(weight)  # torch's spectral_norm() starts with this iteration, too
    return net


def singular_values(nets: nn.ModuleDict) -> dict[str, Tensor]:
    """sv<i>_<net>_<layer> -> the i-th largest singular value of each layer that estimates them."""
    return {
        f"sv{index}_{name.replace('.parametrizations.weight.0', '').replace('.', '_')}": value
        for name, module in nets.named_modules()
        if isinstance(module, SpectralNorm) and module.num_svs
        for index, value in enumerate(module.singular_values)
    }


def spectral_layers(net: nn.Module, *scope: str) -> list[nn.Module]:
    """net.spectral_layers(*scope), or every convolution and linear layer of a net without that method."""
    chosen = getattr(net, "spectral_layers", None)
    if chosen is not None:
        return chosen(*scope)
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]


def batched_forward(
    net: nn.Module, *inputs: Tensor, label: Tensor | None = None, split: bool = False
) -> tuple[Tensor, ...]:
    """The outputs of `net` for several inputs (N, C, H, W), which become one batch where that changes no result.

    Nets with batch norm, which mixes the images of a batch, get the inputs one after the other. So do all nets with
    `split`, on the reference path and if the sizes of the inputs differ. `label` (N,) belongs to each of the inputs.
    """
    labels = () if label is None else (label,)
    mixing = any(isinstance(module, _BatchNorm) for module in net.modules())
    if split or mixing or is_reference_path() or len({x.shape[1:] for x in inputs}) > 1:
        return tuple(net(x, *labels) for x in inputs)
    repeated = (torch.cat([values] * len(inputs)) for values in labels)
    return net(torch.cat(inputs), *repeated).split([len(x) for x in inputs])


def receptive_field(net: nn.Module) -> int:
    """Side in pixels of the input square that one output of a chain of convolutions sees.

    Read backwards: r <- (r - 1) * stride + dilation * (kernel - 1) + 1.  70 for the `basic` PatchGAN.
    """
    field = 1
    for conv in reversed([module for module in net.modules() if isinstance(module, nn.Conv2d)]):
        field = (field - 1) * conv.stride[0] + conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    return field
