"""Nets that upstream builds on request: without norms, and with other padding in the residual blocks."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import OptionMaker, refused
from torch import Tensor, nn

from models import create_model, networks
from util.run import checkpoint, weights

# upstream has a bias before instance norm, in the last layer, and in a discriminator's first layer
BIASES = {
    "resnet_6blocks": {"model.23.bias"},
    "unet_128": {"model.model.3.bias"},
    "basic": {"model.0.bias", "model.11.bias"},
    "n_layers": {"model.0.bias", "model.8.bias"},
    "pixel": {"net.0.bias"},
}


def build(name: str, norm: str) -> nn.Module:
    if name in networks.GENERATORS:
        return networks.define_G(3, 3, 2, name, norm)
    return networks.define_D(3, 2, name, 2, norm)


@pytest.mark.parametrize("name", BIASES)
def test_nets_without_norms_have_the_keys_of_upstream(name: str) -> None:
    """The weights are those of instance norm, whose layers stay in the chain as identities."""
    found, with_norms = (set(build(name, norm).state_dict()) for norm in ("none", "instance"))
    assert {key for key in found if key.endswith("bias")} == BIASES[name]
    assert found - BIASES[name] == {key for key in with_norms if key.endswith("weight")}


@pytest.mark.parametrize("name", BIASES)
def test_weights_without_norms_load_in_both_directions(name: str, tmp_path: Path) -> None:
    path, ours, theirs = tmp_path / "latest_net_G.pth", build(name, "none"), build(name, "none")
    torch.save({f"module.{key}": value for key, value in theirs.state_dict().items()}, path)
    weights.load_into(ours, path, "G")
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


@pytest.mark.parametrize("name", BIASES)
def test_weights_with_biases_do_not_fit_a_net_without_norms(name: str, tmp_path: Path) -> None:
    """Earlier versions of this repository had biases with --norm none; the sentence names the cause both ways."""
    path = tmp_path / "latest_net_G.pth"
    for norm, other in (("none", "instance"), ("instance", "none")):
        torch.save(build(name, norm).state_dict(), path)
        with refused(path, "--norm", norm):
            weights.load_into(build(name, other), path, "G")


def test_a_state_with_biases_is_refused_in_one_sentence(tmp_path: Path, train_opt: OptionMaker) -> None:
    """latest_state.pt of an earlier run with --norm none."""
    model = create_model(train_opt("--norm", "none"))
    state = model.state_dict()
    state["nets"]["G_A.model.1.bias"] = torch.zeros(8)
    run = checkpoint.Checkpoint(tmp_path, {"model": model}, {})
    checkpoint.save(run.state_dict() | {"parts": {"model": state}}, run.path)
    with refused(run.path):
        run.load()


# ---------------------------------------------------------------------- padding


def residual(x: Tensor, block: networks.ResnetBlock, mode: str) -> Tensor:
    """x + conv(relu(norm(conv(x)))), with F.pad before each convolution."""
    first, second = (layer for layer in block.conv_block if isinstance(layer, nn.Conv2d))

    def convolved(h: Tensor, layer: nn.Conv2d) -> Tensor:
        return F.instance_norm(F.conv2d(F.pad(h, (1, 1, 1, 1), mode=mode), layer.weight, layer.bias))

    return x + convolved(convolved(x, first).relu(), second)


@pytest.mark.parametrize(
    ("padding", "mode"), [("reflect", "reflect"), ("replicate", "replicate"), ("zero", "constant")]
)
def test_residual_blocks_pad_as_the_flag_says(padding: str, mode: str) -> None:
    torch.manual_seed(0)
    norm = networks.get_norm_layer("instance")
    block = networks.ResnetBlock(4, norm, use_dropout=False, use_bias=True, padding_type=padding)
    x = torch.randn(2, 4, 6, 5)
    torch.testing.assert_close(block(x), residual(x, block, mode))
    others = {"reflect", "replicate", "constant"} - {mode}
    assert all((block(x) - residual(x, block, other)).abs().max() > 0.01 for other in others)


@pytest.mark.parametrize(
    ("padding", "dropout", "convolutions"),
    [
        ("reflect", False, (1, 5)),
        ("reflect", True, (1, 6)),
        ("replicate", False, (1, 5)),
        ("zero", False, (0, 3)),
        ("zero", True, (0, 4)),
    ],
)
def test_the_keys_with_other_padding_are_those_of_upstream(
    padding: str, dropout: bool, convolutions: tuple[int, ...]
) -> None:
    """Zero padding has no layers of its own, so the convolutions have other numbers."""
    net = networks.define_G(3, 3, 2, "resnet_6blocks", "instance", dropout, padding_type=padding)
    outer = {f"model.{index}.{part}" for index in (1, 4, 7, 16, 19, 23) for part in ("weight", "bias")}
    inner = {f"model.{block}.conv_block.{index}" for block in range(10, 16) for index in convolutions}
    assert set(net.state_dict()) == outer | {f"{key}.{part}" for key in inner for part in ("weight", "bias")}


def test_a_run_keeps_its_padding_and_the_fast_path_computes_it(train_opt: OptionMaker) -> None:
    x = torch.rand(1, 3, 64, 64)
    for padding in ("replicate", "zero"):
        fast, reference = (
            create_model(train_opt("--padding_type", padding, "--ngf", 32, "--fast", fast)).nets["G_A"]
            for fast in ("auto", "off")
        )
        reference.load_state_dict(fast.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(fast(x), reference(x), atol=1e-4, rtol=0)


def test_padding_is_refused_where_it_has_no_effect(train_opt: OptionMaker) -> None:
    for words in (["--model", "pix2pix", "--netG", "unet_128"], ["--model", "dcgan"]):
        with refused("--padding_type zero", "--netG"):
            train_opt(*words, "--padding_type", "zero", "--load_size", 128, "--crop_size", 128)


def test_weights_of_another_padding_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    torch.save(networks.define_G(3, 3, 2, "resnet_6blocks", padding_type="zero").state_dict(), path)
    with refused(path, "--padding_type"):
        weights.load_into(networks.define_G(3, 3, 2, "resnet_6blocks"), path, "G")
