"""The networks of BigGAN-PyTorch, rebuilt from their published facts to test the import of their weights."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# images of a side -> widths in units of ch, and in D how many blocks halve
G_WIDTHS = {32: [4, 4, 4, 4], 64: [16, 16, 8, 4, 2], 128: [16, 16, 8, 4, 2, 1]}
D_WIDTHS = {32: ([4, 4, 4, 4], 2), 64: ([1, 2, 4, 8, 16], 4), 128: ([1, 2, 4, 8, 16, 16], 5)}


class Normalised(nn.Module):
    """A weight over its singular value, by one power iteration in every forward, in eval mode, too."""

    def __init__(self, *shape: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(0.1 * torch.randn(shape[0])) if bias else None
        self.register_buffer("u0", torch.randn(1, shape[0]))
        self.register_buffer("sv0", torch.ones(1))

    def divided(self) -> Tensor:
        matrix = self.weight.flatten(1)
        v = F.normalize(self.u0 @ matrix)
        u = F.normalize(v @ matrix.t())
        return self.weight / (v @ matrix.t() @ u.t()).squeeze()


class Conv(Normalised):
    def __init__(self, into: int, out: int, side: int, bias: bool = True) -> None:
        super().__init__(out, into, side, side, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.divided(), self.bias, padding=self.weight.shape[2] // 2)


class Linear(Normalised):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.divided(), self.bias)


class Embedding(Normalised):
    def forward(self, label: Tensor) -> Tensor:
        return self.divided()[label]


class Statistics(nn.Module):
    eps = 1e-5

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("stored_mean", 0.3 * torch.randn(width))
        self.register_buffer("stored_var", 0.5 + torch.rand(width))

    def centred(self, x: Tensor) -> Tensor:
        mean, var = self.stored_mean[:, None, None], self.stored_var[:, None, None]
        return (x - mean) / (var + self.eps).sqrt()


class OutputNorm(Statistics):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gain, self.bias = nn.Parameter(1 + 0.2 * torch.randn(width)), nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.centred(x) * self.gain[:, None, None] + self.bias[:, None, None]


class ClassNorm(Statistics):
    def __init__(self, width: int, make: Callable[[int], nn.Module]) -> None:
        super().__init__(width)
        self.gain, self.bias = make(width), make(width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.centred(x) * (1 + self.gain(y)[:, :, None, None]) + self.bias(y)[:, :, None, None]


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.tensor(0.7))
        self.theta, self.phi = (Conv(width, width // 8, 1, bias=False) for _ in range(2))
        self.g, self.o = Conv(width, width // 2, 1, bias=False), Conv(width // 2, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        phi, g = (F.max_pool2d(part, 2).flatten(2) for part in (self.phi(x), self.g(x)))
        beta = (self.theta(x).flatten(2).transpose(1, 2) @ phi).softmax(-1)
        mixed = (g @ beta.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return self.gamma * self.o(mixed) + x


class SourceGBlock(nn.Module):
    def __init__(self, into: int, out: int, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv_sc = Conv(into, out, 3), Conv(out, out, 3), Conv(into, out, 1)
        self.bn1, self.bn2 = ClassNorm(into, make), ClassNorm(out, make)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = F.interpolate(self.bn1(x, y).relu(), scale_factor=2)
        x = F.interpolate(x, scale_factor=2)
        return self.conv2(self.bn2(self.conv1(h), y).relu()) + self.conv_sc(x)


class SourceG(nn.Module):
    def __init__(
        self, size: int, ch: int, classes: int, shared_dim: int = 0, chunk: int = 0, z: int = 0, attn: int = 0
    ) -> None:
        super().__init__()
        widths = [ch * factor for factor in G_WIDTHS[size]]
        self.chunk = chunk
        if shared_dim:
            self.shared = nn.Embedding(classes, shared_dim)

        def make(width: int) -> nn.Module:
            if shared_dim:
                return Linear(width, shared_dim + chunk, bias=False)
            return nn.Embedding(classes, width)

        self.linear = Linear(16 * widths[0], chunk or z)
        self.blocks = nn.ModuleList(
            nn.ModuleList([SourceGBlock(into, out, make)]) for into, out in pairwise(widths)
        )
        for index, block in enumerate(self.blocks):
            if 8 * 2**index == attn:
                block.append(Attention(widths[index + 1]))
        self.output_layer = nn.Sequential(OutputNorm(widths[-1]), nn.ReLU(), Conv(widths[-1], 3, 3))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        y = self.shared(label) if hasattr(self, "shared") else label
        first, *rest = z.split(self.chunk, 1) if self.chunk else [z]
        ys = [torch.cat([y, part], 1) for part in rest] or [y] * len(self.blocks)
        h = self.linear(first).view(len(z), -1, 4, 4)
        for (block, *attention_), y in zip(self.blocks, ys, strict=True):
            h = block(h, y)
            for module in attention_:
                h = module(h)
        return self.output_layer(h).tanh()


class SourceDBlock(nn.Module):
    def __init__(self, into: int, out: int, first: bool, halve: bool) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1, self.conv2 = Conv(into, out, 3), Conv(out, out, 3)
        if into != out or halve:
            self.conv_sc = Conv(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        pool = nn.AvgPool2d(2) if self.halve else nn.Identity()
        conv_sc = getattr(self, "conv_sc", nn.Identity())
        h = x if self.first else x.relu()
        shortcut = conv_sc(pool(x)) if self.first else pool(conv_sc(x))
        return pool(self.conv2(self.conv1(h).relu())) + shortcut


class SourceD(nn.Module):
    def __init__(self, size: int, ch: int, classes: int, attn: int = 0) -> None:
        super().__init__()
        factors, halving = D_WIDTHS[size]
        widths = [3, *(ch * factor for factor in factors)]
        self.blocks = nn.ModuleList(
            nn.ModuleList([SourceDBlock(into, out, index == 0, index < halving)])
            for index, (into, out) in enumerate(pairwise(widths))
        )
        for index, block in enumerate(self.blocks):
            if size >> (index + 1) == attn:
                block.append(Attention(widths[index + 1]))
        self.linear, self.embed = Linear(1, widths[-1]), Embedding(classes, widths[-1], bias=False)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        for block in self.blocks:
            for module in block:
                x = module(x)
        h = x.relu().sum((2, 3))
        return (self.linear(h) + (self.embed(label) * h).sum(1, keepdim=True)).squeeze(1)
