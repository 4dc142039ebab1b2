"""Image-to-image nets: parameter counts, keys, shapes and receptive fields as published; spectral norm."""

import pytest
import torch
from conftest import refused

from models import networks


def count(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("name", "norm", "parameters", "tensors"),
    [
        ("resnet_9blocks", "instance", 11_378_179, 48),
        ("resnet_9blocks", "batch", 11_383_427, 140),
        ("resnet_6blocks", "instance", 7_837_699, 36),
        ("resnet_6blocks", "batch", 7_841_411, 104),
        ("unet_256", "instance", 54_409_603, 32),
        ("unet_256", "batch", 54_413_955, 82),
        ("unet_128", "instance", 41_825_667, 28),
        ("unet_128", "batch", 41_828_995, 70),
    ],
)
def test_generators_have_the_published_sizes(name: str, norm: str, parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        net = networks.define_G(3, 3, 64, name, norm, init_type="default")
    assert count(net) == parameters
    assert len(net.state_dict()) == tensors


@pytest.mark.parametrize(
    ("name", "channels", "norm", "parameters", "tensors"),
    [
        ("basic", 3, "instance", 2_764_737, 10),
        ("basic", 3, "batch", 2_765_633, 22),
        ("basic", 6, "instance", 2_767_809, 10),
        ("basic", 6, "batch", 2_768_705, 22),
        ("pixel", 3, "instance", 8_705, 6),
        ("pixel", 3, "batch", 8_832, 9),
    ],
)
def test_discriminators_have_the_published_sizes(
    name: str, channels: int, norm: str, parameters: int, tensors: int
) -> None:
    net = networks.define_D(channels, 64, name, norm=norm)
    assert count(net) == parameters
    assert len(net.state_dict()) == tensors


def keys(net: torch.nn.Module) -> set[str]:
    return set(net.state_dict())


def weights_and_biases(*names: str) -> set[str]:
    return {f"{name}.{part}" for name in names for part in ("weight", "bias")}


def test_resnet_keys_are_those_of_upstream() -> None:
    outer = [f"model.{index}" for index in (1, 4, 7, 19, 22, 26)]
    blocks = [f"model.{index}.conv_block" for index in range(10, 19)]
    plain = networks.define_G(3, 3, 8, "resnet_9blocks", "instance")
    assert keys(plain) == weights_and_biases(*outer, *(f"{b}.{i}" for b in blocks for i in (1, 5)))
    dropout = networks.define_G(3, 3, 8, "resnet_9blocks", "instance", use_dropout=True)
    assert keys(dropout) == weights_and_biases(*outer, *(f"{b}.{i}" for b in blocks for i in (1, 6)))


def test_batch_norm_keys_are_those_of_upstream() -> None:
    net = networks.define_G(3, 3, 8, "resnet_6blocks", "batch")
    found = keys(net)
    assert not {"model.1.bias", "model.10.conv_block.5.bias"} & found and "model.23.bias" in found
    statistics = {"model.20.running_var", "model.10.conv_block.6.num_batches_tracked"}
    assert statistics | {"model.2.running_mean"} <= found


def test_unet_keys_are_those_of_upstream() -> None:
    found = keys(networks.define_G(3, 3, 2, "unet_128", "batch"))
    level = "model.model.1"
    assert "model.model.0.weight" in found and "model.model.0.bias" not in found
    assert weights_and_biases("model.model.3") <= found
    for _ in range(5):  # five levels between the outermost and the innermost
        parts = ("1.weight", "2.running_mean", "5.weight", "6.running_mean")
        assert {f"{level}.model.{part}" for part in parts} <= found
        level += ".model.3"
    norm = {f"4.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    inner = f"{level}.model."
    assert {key.removeprefix(inner) for key in found if key.startswith(inner)} == norm | {
        "1.weight",
        "3.weight",
    }


def test_patchgan_keys_are_those_of_upstream() -> None:
    assert keys(networks.define_D(3, 8, "basic", norm="instance")) == weights_and_biases(
        *(f"model.{index}" for index in (0, 2, 5, 8, 11))
    )
    assert "model.2.bias" not in keys(networks.define_D(3, 8, "basic", norm="batch"))
    assert keys(networks.define_D(3, 8, "pixel", norm="instance")) == weights_and_biases(
        "net.0", "net.2", "net.5"
    )


@pytest.mark.parametrize(("side", "patches"), [(256, 30), (128, 14), (64, 6)])
def test_patchgan_gives_the_published_number_of_patches(side: int, patches: int) -> None:
    net = networks.define_D(3, 2, "basic")
    assert net(torch.zeros(1, 3, side, side)).shape == (1, 1, patches, patches)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286), (6, 574)])
def test_the_receptive_field_by_formula_and_by_gradient(layers: int, field: int) -> None:
    net = networks.define_D(1, 2, "n_layers", layers, norm="none", init_type="normal", init_gain=1.0)
    assert networks.receptive_field(net) == field
    if layers > 4:
        return  # too many pixels for a test
    x = torch.randn(1, 1, 2 * field + 64, 2 * field + 64, requires_grad=True)
    logits = net(x)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].abs() > 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    assert int(rows.max() - rows.min()) + 1 == field
    assert int(columns.max() - columns.min()) + 1 == field


@pytest.mark.parametrize("norm", ["instance", "batch", "syncbatch", "none"])
@pytest.mark.parametrize("name", ["resnet_6blocks", "unet_128"])
def test_generators_keep_the_size_and_range(name: str, norm: str) -> None:
    net = networks.define_G(3, 2, 2, name, norm, use_dropout=True)
    size = (128, 128) if name.startswith("unet") else (30, 41)  # not multiples of four
    y = net(torch.randn(2, 3, *size))
    assert y.shape == (2, 2, *size)
    assert y.abs().max() <= 1


def test_the_unet_refuses_sides_that_are_not_multiples() -> None:
    net = networks.define_G(3, 3, 2, "unet_128", "instance")
    with refused(128, 200, "--preprocess resize_and_crop", "--netG resnet_9blocks"):
        net(torch.randn(1, 3, 128, 200))


def test_normal_init_draws_the_stated_deviation() -> None:
    net = networks.define_G(3, 3, 64, "resnet_6blocks", "batch", init_gain=0.02)
    block = net.get_submodule("model.10.conv_block")
    weight = block.get_parameter("1.weight")
    assert abs(weight.std().item() - 0.02) < 1e-3
    scale, shift = block.get_parameter("2.weight"), block.get_parameter("2.bias")
    assert abs(scale.mean().item() - 1) < 0.01 and abs(scale.std().item() - 0.02) < 5e-3
    assert shift.abs().max() == 0


@pytest.mark.parametrize(
    ("call", "wrong", "known"),
    [
        (lambda name: networks.define_G(3, 3, 8, name), "resnet_10blocks", "resnet_9blocks"),
        (lambda name: networks.define_D(3, 8, name), "basics", "basic"),
        (networks.get_norm_layer, "sync_batch", "syncbatch"),
        (lambda name: networks.init_weights(torch.nn.Conv2d(1, 1, 1), name), "uniform", "xavier"),
        (networks.GANLoss, "wgan", "wgangp"),
    ],
)
def test_unknown_names_fail_with_the_known_ones(call, wrong: str, known: str) -> None:
    with refused(wrong, known, error=ValueError):
        call(wrong)


def iterate(layer: torch.nn.Module) -> None:
    """One power iteration, as a training step takes."""
    parametrized = layer.parametrizations.weight
    parametrized[0].before_update(parametrized.original)


def test_spectral_norm_keeps_its_vectors_as_buffers_and_rests_in_eval() -> None:
    conv = networks.apply_spectral_norm(torch.nn.Conv2d(6, 5, 3))
    assert {name for name, _ in conv.named_parameters()} == {"bias", "parametrizations.weight.original"}
    assert len(dict(conv.named_buffers())) == 2
    iterate(conv)
    conv.eval()
    before = {key: value.clone() for key, value in conv.state_dict().items()}
    conv(torch.randn(1, 6, 8, 8))
    assert all(torch.equal(before[key], value) for key, value in conv.state_dict().items())


@pytest.mark.parametrize("init_type", ["normal", "xavier", "kaiming", "orthogonal", "default"])
def test_every_init_is_repeatable_and_the_same_for_sync_batch_norm(init_type: str) -> None:
    states = []
    for norm in ("batch", "batch", "syncbatch"):
        torch.manual_seed(3)
        states.append(networks.define_D(3, 4, "basic", norm=norm, init_type=init_type).state_dict())
    first, *others = states
    for other in others:
        assert first.keys() == other.keys() and all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("rows", "channels"), [("out", 5), ("in", 6)])
def test_the_rows_of_a_transposed_convolution_are_output_or_input_channels(rows: str, channels: int) -> None:
    conv = networks.apply_spectral_norm(torch.nn.ConvTranspose2d(6, 5, 3), rows=rows)
    for _ in range(50):
        iterate(conv)
    matrix = conv.weight.transpose(0, 1) if rows == "out" else conv.weight
    assert abs(torch.linalg.svdvals(matrix.flatten(1))[0].item() - 1) < 1e-3
    assert conv.parametrizations.weight[0]._u.shape == (channels,)


@pytest.mark.parametrize("norm", ["instance", "none", "batch"])
def test_a_batched_forward_equals_one_input_after_the_other(norm: str) -> None:
    torch.manual_seed(0)
    net = networks.define_D(3, 8, "basic", norm=norm).double()
    inputs = [torch.randn(size, 3, 32, 32, dtype=torch.float64, requires_grad=True) for size in (1, 2)]
    results = []
    for run in (lambda: tuple(net(x) for x in inputs), lambda: networks.batched_forward(net, *inputs)):
        outputs = run()
        results.append([*outputs, *torch.autograd.grad(sum(y.square().sum() for y in outputs), inputs)])
    assert all(torch.allclose(a, b, atol=1e-12, rtol=0) for a, b in zip(*results, strict=True))


def test_a_batched_forward_is_one_pass_if_norms_do_not_mix_images() -> None:
    def calls(net: torch.nn.Module, *sides: int) -> int:
        seen: list[int] = []
        hook = net.register_forward_hook(lambda *_: seen.append(1))
        networks.batched_forward(net, *(torch.zeros(1, 3, 32, side) for side in sides))
        hook.remove()
        return len(seen)

    plain = networks.define_D(3, 4, "basic", norm="instance")
    assert calls(plain, 32, 32) == 1
    assert calls(plain, 32, 40) == 2
    assert calls(networks.apply_spectral_norm(plain), 32, 32) == 1
    assert calls(networks.define_D(3, 4, "basic", norm="batch"), 32, 32) == 2
