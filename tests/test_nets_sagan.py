"""The SAGAN nets: sizes, places of attention, classes, layers for spectral norm.

test_import_sagan compares the published nets of 64 pixels, layer by layer.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import names_all
from torch import Tensor, nn

from models.nets.layers import apply_spectral_norm, get_norm_layer
from models.nets.sagan import (
    SIZES,
    SAGANDiscriminator,
    SAGANGenerator,
    default_attention,
)
from models.sagan_model import sn_scope


def generator(**changes: object) -> SAGANGenerator:
    small = {"z_dim": 12, "output_nc": 3, "ngf": 8, "size": 32, "norm": get_norm_layer("batch")}
    torch.manual_seed(0)
    return SAGANGenerator(**(small | {"attn_res": (8, 16), "pooled": False} | changes))


def discriminator(**changes: object) -> SAGANDiscriminator:
    small = {"input_nc": 3, "ndf": 8, "size": 32, "attn_res": (4,), "pooled": False}
    torch.manual_seed(0)
    return SAGANDiscriminator(**(small | changes))


def shapes_in(net: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape that comes out of every module, in the order of the forward pass; without the batch."""
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.update({name: tuple(output.shape[1:])})

    hooks = [module.register_forward_hook(note(name)) for name, module in net.named_modules()]
    net(x)
    for hook in hooks:
        hook.remove()
    return seen


def test_the_keys_are_those_that_saved_runs_have() -> None:
    G = generator(attn_res=(16,))
    conv, norm = ("weight", "bias"), ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    attention = {f"{layer}.{part}" for layer in ("query", "key", "value") for part in conv} | {"gamma"}
    assert set(G.state_dict()) == {
        *(f"blocks.{side}.conv.{part}" for side in (4, 8, 16) for part in conv),
        *(f"blocks.{side}.norm.{part}" for side in (4, 8, 16) for part in norm),
        *(f"attention.16.{part}" for part in attention),
        *(f"last.{part}" for part in conv),
    }
    assert set(discriminator(n_classes=5).state_dict()) == {
        *(f"blocks.{side}.0.{part}" for side in (4, 8, 16) for part in conv),
        *(f"attention.4.{part}" for part in attention),
        *(f"last.{part}" for part in conv),
        "embed.weight",
    }


@pytest.mark.parametrize("size", SIZES)
def test_every_size_attends_by_resolution(size: int) -> None:
    on_G, on_D = default_attention(size)
    assert on_G == (size // 4, size // 2)
    assert on_D == ((size // 8, size // 16) if size > 32 else (4,))
    G = generator(size=size, attn_res=on_G)
    D = discriminator(size=size, attn_res=on_D)
    with torch.no_grad():
        seen = shapes_in(G, torch.randn(1, 12))
        assert [name for name in seen if name.startswith("attention") and name.count(".") == 1] == [
            f"attention.{size // 4}",
            f"attention.{size // 2}",
        ]
        assert seen["blocks.4"] == (8 * size // 8, 4, 4)
        for side in on_G:
            assert seen[f"attention.{side}"] == seen[f"blocks.{side}"] == (8 * size // (2 * side), side, side)
        assert seen[""] == (3, size, size)
        seen = shapes_in(D, torch.randn(1, 3, size, size))
        for side in on_D:
            assert seen[f"attention.{side}"] == seen[f"blocks.{side}"] == (8 * size // (2 * side), side, side)
        assert seen[""] == ()


def test_attention_follows_the_features_whatever_order_is_asked_for() -> None:
    assert list(generator(attn_res=(16, 4)).attention) == ["4", "16"]
    assert list(discriminator(attn_res=(4, 16)).attention) == ["16", "4"]
    assert list(generator(attn_res=()).attention) == []


def test_the_nearest_form_convolves_after_repeating() -> None:
    net = generator(upsample="nearest", attn_res=(16,))
    deconv = generator(attn_res=(16,))
    assert net.state_dict().keys() == deconv.state_dict().keys()
    assert type(net.blocks["4"].conv) is nn.ConvTranspose2d
    convs = [net.blocks["8"].conv, net.blocks["16"].conv, net.last]
    assert all(isinstance(conv, nn.Conv2d) and conv.bias is not None for conv in convs)
    assert [(conv.kernel_size[0], conv.stride[0], conv.padding[0]) for conv in convs] == [(3, 1, 1)] * 3
    assert net(torch.randn(2, 12)).shape == (2, 3, 32, 32)
    block, x = net.blocks["8"].eval(), torch.randn(1, 32, 4, 6)
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(block(x), block.norm(block.conv(repeated)).relu())


@pytest.mark.parametrize("norm", ["none", "instance", "batch"])
def test_convolutions_have_a_bias_with_every_norm(norm: str) -> None:
    for n_classes in (0, 3):
        net = generator(norm=get_norm_layer(norm), n_classes=n_classes)
        assert all(block.conv.bias is not None for block in net.blocks.values())
        assert not any(name.endswith("norm.norm.weight") for name, _ in net.named_parameters())


def names(net: nn.Module, layers: list[nn.Module]) -> list[str]:
    known = {id(module): name for name, module in net.named_modules()}
    return [known[id(layer)] for layer in layers]


@pytest.mark.parametrize("upsample", ["deconv", "nearest"])
def test_the_scope_blocks_is_the_blocks_own_layers(upsample: str) -> None:
    G, D = generator(upsample=upsample, n_classes=3), discriminator(n_classes=3)
    assert names(G, G.spectral_layers("blocks")) == ["blocks.4.conv", "blocks.8.conv", "blocks.16.conv"]
    assert names(D, D.spectral_layers("blocks")) == ["blocks.16.0", "blocks.8.0", "blocks.4.0"]


@pytest.mark.parametrize("upsample", ["deconv", "nearest"])
def test_the_whole_scope_is_every_weight_but_the_embeddings_of_the_generator(upsample: str) -> None:
    G, D = generator(upsample=upsample, n_classes=3, pooled=True), discriminator(n_classes=3, pooled=True)
    weighted = {
        name
        for name, module in G.named_modules()
        if hasattr(module, "weight") and not isinstance(module, nn.Embedding | nn.BatchNorm2d)
    }
    assert set(names(G, G.spectral_layers())) == weighted
    assert {"last", "attention.16.output", "attention.8.query"} <= weighted and len(weighted) == 12
    chosen = names(D, D.spectral_layers("all"))
    assert set(chosen) == {name for name, module in D.named_modules() if hasattr(module, "weight")}
    assert "embed" in chosen and len(chosen) == len(set(chosen)) == 9


@pytest.mark.parametrize("rows", ["out", "in"])
def test_spectral_norm_of_the_whole_scope_bounds_every_weight(rows: str) -> None:
    for net in (generator(n_classes=3), discriminator(n_classes=3)):
        layers = net.spectral_layers("all")
        apply_spectral_norm(net, layers, rows=rows)
        for layer in layers:
            parametrized = layer.parametrizations.weight
            for _ in range(200):  # random weights have their largest singular values close together
                parametrized[0].before_update(parametrized.original)
            weight = layer.weight
            if isinstance(layer, nn.ConvTranspose2d) and rows == "out":
                weight = weight.transpose(0, 1)
            assert abs(torch.linalg.svdvals(weight.flatten(1))[0].item() - 1) < 1e-3


def test_the_former_name_of_the_scope_is_read_with_a_hint(
    train_opt: Callable, test_opt: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sn_scope.cache_clear()
    assert train_opt("--model", "sagan", "--sn_scope", "seed").sn_scope == "blocks"
    assert names_all(capsys.readouterr().err, ["--sn_scope seed", "--sn_scope blocks"])
    run = tmp_path / "runs" / "old"
    run.mkdir(parents=True)
    (run / "opt.json").write_text('{"model": "sagan", "sn_scope": "seed"}')
    assert test_opt("--name", "old").sn_scope == "blocks"
