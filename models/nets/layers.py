"""Small parts that several families share: norms by name, spectral norm, receptive field."""

from collections.abc import Callable
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

Norm = Callable[[int], nn.Module]


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch norm over the joint batch of all ranks, on any device (torch's own knows GPUs alone)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if x.is_cuda or not self.training or not dist.is_initialized():
            return super().forward(x)
        kind = x.dtype
        x = x.float() if kind in (torch.float16, torch.bfloat16) else x
        sums = torch.cat([x.sum((0, 2, 3)), (x * x).sum((0, 2, 3)), x.new_tensor([x.numel() / x.shape[1]])])
        sums = all_reduce(sums)
        count = sums[-1]
        mean, square = sums[:-1].div(count).chunk(2)
        variance = (square - mean**2).clamp_min(0)
        self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        x = (x - mean[None, :, None, None]) * torch.rsqrt(variance + self.eps)[None, :, None, None]
        return (x * self.weight[None, :, None, None] + self.bias[None, :, None, None]).to(kind)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


NORMS: dict[str, Norm] = {
    "batch": partial(nn.BatchNorm2d, affine=True, track_running_stats=True),
    "syncbatch": partial(SyncBatchNorm, affine=True, track_running_stats=True),
    "instance": partial(nn.InstanceNorm2d, affine=False, track_running_stats=False),
    "none": lambda channels: nn.Identity(),
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
    """A convolution needs a bias of its own unless an affine norm follows it."""
    return not isinstance(norm(1), _BatchNorm)


class FullPrecisionSpectralNorm(_SpectralNorm):
    """torch's own, with its products of vectors kept out of autocast: sigma divides every weight."""

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return super().forward(weight)


def apply_spectral_norm(net: nn.Module) -> nn.Module:
    """Divide every convolution's and linear layer's weight by its largest singular value (arXiv:1802.05957).

    In place, by torch's own parametrization: one power iteration a training forward, none in eval,
    its two vectors are buffers. The weight is saved as `parametrizations.weight.original`.
    """
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            spectral_norm(module)
            module.get_submodule("parametrizations.weight.0").__class__ = FullPrecisionSpectralNorm
    return net


def together(net: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """`net` on several inputs (N, C, H, W) of one size, as one batch where its norms keep images apart.

    Batch norm mixes the images of a batch, and spectral norm takes a step each forward: nets with
    either are run on one input after the other.
    """
    mixing = any(isinstance(module, _BatchNorm | ParametrizationList) for module in net.modules())
    if mixing or len({x.shape[1:] for x in inputs}) > 1:
        return tuple(net(x) for x in inputs)
    return net(torch.cat(inputs)).split([len(x) for x in inputs])


def receptive_field(net: nn.Module) -> int:
    """Side in pixels of the input square that one output of a chain of convolutions sees.

    Read backwards: r <- (r - 1) * stride + dilation * (kernel - 1) + 1.  70 for the `basic` PatchGAN.
    """
    field = 1
    for conv in reversed([module for module in net.modules() if isinstance(module, nn.Conv2d)]):
        field = (field - 1) * conv.stride[0] + conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    return field
