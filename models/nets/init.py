"""Initial weights by name."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)

INITS: dict[str, Callable[[Tensor, float], object]] = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: nn.init.xavier_normal_(weight, gain=gain),
    "kaiming": lambda weight, gain: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
    "orthogonal": lambda weight, gain: nn.init.orthogonal_(weight, gain=gain),
}


def init_weights(net: nn.Module, init_type: str = "normal", init_gain: float = 0.02) -> nn.Module:
    """Draw the weights of convolutions, linear layers and embeddings, and set their biases to 0.

    Batch norm gets gains from N(1, 0.02) and biases of 0. With `normal`, `init_gain` is the standard deviation of
    all weights and gains (DCGAN, arXiv:1511.06434). `default` keeps torch's initial weights.

    Raises:
        ValueError: unknown name.
    """
    if init_type == "default":
        return net
    if init_type not in INITS:
        raise ValueError(f"unknown initialisation {init_type!r}; known: default, {', '.join(INITS)}")

    def initialise(module: nn.Module) -> None:
        if getattr(module, "keeps_initial_weights", False):
            return
        if isinstance(module, WEIGHTED):
            INITS[init_type](module.weight.data, init_gain)
            bias = getattr(module, "bias", None)
            if bias is not None:
                nn.init.zeros_(bias)
        elif isinstance(module, _BatchNorm) and module.affine:
            nn.init.normal_(module.weight, 1.0, init_gain if init_type == "normal" else 0.02)
            nn.init.zeros_(module.bias)

    return net.apply(initialise)
