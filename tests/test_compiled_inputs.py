"""Compiled functions check what they are given: a wrong shape is an error, never a read of other memory.

A wrong input may end the process, so each case runs in a fork of the test process.
"""

import faulthandler
import os
import signal
from argparse import Namespace
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from conftest import names_all, random_batch
from torch import Tensor, nn

from models import create_model
from models.nets.cpu.fused_attention import Attention
from models.nets.cpu.fused_norm import FusedInstanceNorm, InstanceNormReLU
from models.nets.cpu.library import library
from models.nets.cpu.winograd import Kind, Winograd

pytestmark = [
    pytest.mark.skipif(library() is None, reason="no C++ compiler builds the functions here"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]
Outcome = tuple[str, str]


def in_child(function: Callable[[], object]) -> Outcome:
    """Run a function in a fork: ("returned", repr), (type of the exception, message) or ("signal", number)."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        faulthandler.disable()
        signal.alarm(20)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            outcome: Outcome = ("returned", repr(function()))
        except BaseException as error:
            outcome = (type(error).__name__, str(error))
        os.write(writer, "\0".join(outcome)[:4000].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "signal", str(os.WTERMSIG(status))
    kind, _, message = told.partition("\0")
    return kind, message


def assert_rejected(function: Callable[[], object]) -> str:
    kind, message = in_child(function)
    assert kind in ("RuntimeError", "ValueError", "TypeError", "UserError"), (kind, message)
    return message


# ---------------------------------------------------------------------- nets and layers


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_a_discriminator_rejects_other_channels(train_opt: Callable[..., Namespace], channels: int) -> None:
    net = create_model(train_opt("--model", "cycle_gan", "--ndf", 64)).nets["D_A"]
    x = torch.randn(4, channels, 64, 64)
    assert_rejected(lambda: net(x).mean().item())


@pytest.mark.parametrize("channels", [32, 65, 256])
@pytest.mark.parametrize("kind", [Kind.UNPADDED, Kind.ZEROS, Kind.REFLECTED, Kind.HALVING, Kind.DOUBLING])
def test_a_compiled_convolution_rejects_other_channels(kind: Kind, channels: int) -> None:
    side = 4 if kind in (Kind.HALVING, Kind.DOUBLING) else 3
    x, weight = torch.randn(4, channels, 32, 32), torch.randn(64, 64, side, side)
    assert_rejected(lambda: Winograd.apply(x, weight, None, kind).shape)


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ((64, 64, 5, 5), (64,)),
        ((64, 64, 3, 4), (64,)),
        ((64, 64, 3, 3), (8,)),
        ((64, 64, 3, 3), (1,)),
        ((64, 64, 3), (64,)),
    ],
    ids=str,
)
def test_a_compiled_convolution_rejects_other_weights(weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
    x = torch.randn(4, 64, 32, 32)
    assert_rejected(lambda: Winograd.apply(x, torch.randn(weight), torch.randn(bias), Kind.ZEROS).shape)


def strided(x: Tensor) -> Tensor:
    return x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("change", [Tensor.double, strided], ids=["dtype", "strides"])
def test_a_compiled_convolution_rejects_unlike_memory(change: Callable[[Tensor], Tensor]) -> None:
    """With an exception, not with an `assert`, which `python -O` leaves out."""
    x, weight = torch.randn(4, 64, 32, 32), torch.randn(64, 64, 3, 3)
    assert_rejected(lambda: Winograd.apply(change(x), weight, None, Kind.ZEROS).shape)
    assert_rejected(lambda: Winograd.apply(x, change(weight), None, Kind.ZEROS).shape)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ((2, 4, 16, 16), (2, 16, 16, 16)),
        ((1, 8, 16, 16), (2, 16, 16, 16)),
        ((2, 8, 8, 8), (2, 16, 16, 16)),
        ((2, 8, 16, 16), (1, 16, 16, 16)),
    ],
    ids=["key channels", "key images", "key places", "value images"],
)
def test_compiled_attention_rejects_sizes_that_do_not_fit(
    key: tuple[int, ...], value: tuple[int, ...]
) -> None:
    query = torch.randn(2, 8, 16, 16)
    assert_rejected(lambda: Attention.apply(query, torch.randn(key), torch.randn(value)).shape)


def test_the_compiled_norm_rejects_other_dimensions() -> None:
    x = torch.randn(2, 3, 4, 16, 16)
    assert_rejected(lambda: InstanceNormReLU.apply(x, True, 1e-5).shape)


@pytest.mark.parametrize("places", [(5,), (5, 2, 3)], ids=["three dimensions", "five dimensions"])
def test_compiled_attention_rejects_other_dimensions(places: tuple[int, ...]) -> None:
    """Also where key and value fit together: five dimensions gave other numbers than torch."""
    key, value = torch.randn(2, 8, *places), torch.randn(2, 16, *places)
    assert_rejected(lambda: Attention.apply(torch.randn(2, 8, 4, 4), key, value).shape)


def shrunk(x: Tensor) -> Tensor:
    """A tensor whose memory has been given back, as sharded training does."""
    x.untyped_storage().resize_(0)
    return x


def huge(x: Tensor) -> Tensor:
    return torch.empty(x.shape[0], x.shape[1], 2**24, 2**24, device="meta")


@pytest.mark.parametrize(
    "change",
    [
        shrunk,
        huge,
        Tensor.to_sparse,
        Tensor.half,
        Tensor.long,
        lambda x: x.to("meta"),
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8),
        lambda x: torch.complex(x, x).conj().imag,
    ],
    ids="shrunk huge sparse half long meta quantized negative".split(),
)
def test_only_plain_tensors_in_memory_are_taken(change: Callable[[Tensor], Tensor]) -> None:
    x, weight, key = torch.randn(4, 8, 16, 16), torch.randn(8, 8, 3, 3), torch.randn(4, 8, 16, 16)
    y = torch.randn(4, 8, 16, 16)
    assert_rejected(lambda: Winograd.apply(change(x), weight, None, Kind.ZEROS).shape)
    assert_rejected(lambda: Winograd.apply(change(x), change(weight), None, Kind.ZEROS).shape)
    assert_rejected(lambda: InstanceNormReLU.apply(change(x), True, 1e-5).shape)
    assert_rejected(lambda: Attention.apply(change(x), key, y).shape)
    assert_rejected(lambda: Attention.apply(x, key, change(y)).shape)


def test_memory_given_back_between_the_passes_is_noticed() -> None:
    x, weight = torch.randn(4, 8, 16, 16, requires_grad=True), torch.randn(8, 8, 3, 3, requires_grad=True)
    loss = Winograd.apply(x, weight, None, Kind.ZEROS).sum()
    x.detach().untyped_storage().resize_(0)
    assert_rejected(loss.backward)


def test_the_compiled_norm_takes_a_whole_number_as_eps() -> None:
    """ctypes would pass it as an integer where the function reads a floating-point number."""
    x = torch.randn(2, 3, 8, 8)
    assert (InstanceNormReLU.apply(x, False, 1) - F.instance_norm(x, eps=1.0)).abs().max() < 1e-6


# ---------------------------------------------------------------------- models


@pytest.mark.parametrize("how", ["auto", "off"])
@pytest.mark.parametrize("channels", [1, 4])
def test_training_on_other_channels_names_the_flag(
    train_opt: Callable[..., Namespace], channels: int, how: str
) -> None:
    """With and without the compiled functions: one sentence about --input_nc or --output_nc."""
    model = create_model(train_opt("--model", "cycle_gan", "--ndf", 64, "--fast", how))
    batch = random_batch("pairs", side=64)
    batch["A"] = batch["A"][:, :1].repeat(1, channels, 1, 1)
    kind, message = in_child(lambda: model.optimize_parameters(batch))
    assert kind == "UserError" and names_all(message, ["--input_nc", channels]), (kind, message)


def test_training_from_noise_on_other_channels_names_the_flag(train_opt: Callable[..., Namespace]) -> None:
    model = create_model(train_opt("--model", "dcgan", "--ndf", 64))
    batch = random_batch("latent")
    batch["image"] = batch["image"][:, :1]
    kind, message = in_child(lambda: model.optimize_parameters(batch))
    assert kind == "UserError" and names_all(message, ["--output_nc", 1]), (kind, message)


# ---------------------------------------------------------------------- edges


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (Kind.UNPADDED, (2, 2)),
        (Kind.HALVING, (1, 1)),
        (Kind.ZEROS, (0, 8)),
        (Kind.REFLECTED, (1, 8)),
        (Kind.DOUBLING, (0, 4)),
    ],
    ids=str,
)
def test_a_compiled_convolution_rejects_sizes_that_torch_rejects(kind: Kind, size: tuple[int, int]) -> None:
    side = 4 if kind in (Kind.HALVING, Kind.DOUBLING) else 3
    x, weight = torch.randn(2, 8, *size), torch.randn(8, 8, side, side)
    assert_rejected(lambda: Winograd.apply(x, weight, None, kind).shape)


def test_the_compiled_norm_rejects_a_single_pixel() -> None:
    """As torch does in training: one value has no variance."""
    x = torch.randn(2, 3, 1, 1)
    with pytest.raises(ValueError):
        F.instance_norm(x)
    with pytest.raises(ValueError):
        InstanceNormReLU.apply(x, False, 1e-5)


def test_the_fused_norm_takes_an_unbatched_image_as_torch_does() -> None:
    x = torch.randn(3, 8, 8)
    norm, right = FusedInstanceNorm(3, 1e-5, relu=False), nn.InstanceNorm2d(3)
    assert (norm(x) - right(x)).abs().max() < 1e-6
