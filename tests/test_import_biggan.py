"""The importer of BigGAN weights against the source's layout, rebuilt here from its published facts.

No original checkpoint is at hand: keys and shapes are those of the source's nets, the numbers are random.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from biggan_source import SourceD, SourceG
from conftest import refused
from torch import Tensor

from models.imports.biggan import options, translate
from models.nets.biggan import BigGANDiscriminator, BigGANGenerator
from models.nets.layers import NORMS, apply_spectral_norm

Shapes = dict[str, tuple[int, ...]]

# ---------------------------------------------------------------------- what the source saves, written out


def layer(name: str, *shape: int, bias: bool = True) -> Shapes:
    made: Shapes = {f"{name}.weight": shape, f"{name}.u0": (1, shape[0]), f"{name}.sv0": (1,)}
    return made | ({f"{name}.bias": shape[:1]} if bias else {})


def convolutions(block: str, before: int, after: int, shortcut: bool) -> Shapes:
    made = layer(f"{block}.conv1", after, before, 3, 3) | layer(f"{block}.conv2", after, after, 3, 3)
    return made | (layer(f"{block}.conv_sc", after, before, 1, 1) if shortcut else {})


def attention(place: str, width: int) -> Shapes:
    made: Shapes = {f"{place}.gamma": ()}
    for name, out, into in (("theta", 8, 1), ("phi", 8, 1), ("g", 2, 1), ("o", 1, 2)):
        made |= layer(f"{place}.{name}", width // out, width // into, 1, 1, bias=False)
    return made


def statistics(name: str, width: int) -> Shapes:
    return {f"{name}.stored_mean": (width,), f"{name}.stored_var": (width,)}


def output_layer(width: int) -> Shapes:
    own: Shapes = {"output_layer.0.gain": (width,), "output_layer.0.bias": (width,)}
    return own | statistics("output_layer.0", width) | layer("output_layer.2", 3, width, 3, 3)


def published_imagenet_G() -> Shapes:
    made: Shapes = {"shared.weight": (1000, 128)} | layer("linear", 24576, 20) | output_layer(96)
    for index, (before, after) in enumerate(pairwise([1536, 1536, 768, 384, 192, 96])):
        made |= convolutions(f"blocks.{index}.0", before, after, shortcut=True)
        for norm, width in (("bn1", before), ("bn2", after)):
            made |= statistics(f"blocks.{index}.0.{norm}", width)
            for part in ("gain", "bias"):
                made |= layer(f"blocks.{index}.0.{norm}.{part}", width, 148, bias=False)
    return made | attention("blocks.3.1", 192)


def published_imagenet_D() -> Shapes:
    made = layer("linear", 1, 1536) | layer("embed", 1000, 1536, bias=False) | attention("blocks.0.1", 96)
    for index, (before, after) in enumerate(pairwise([3, 96, 192, 384, 768, 1536, 1536])):
        made |= convolutions(f"blocks.{index}.0", before, after, shortcut=index < 5)
    return made


def published_cifar_G() -> Shapes:
    made = layer("linear", 4096, 128) | output_layer(256)
    for index in range(3):
        made |= convolutions(f"blocks.{index}.0", 256, 256, shortcut=True)
        for norm in ("bn1", "bn2"):
            made |= statistics(f"blocks.{index}.0.{norm}", 256)
            made |= {f"blocks.{index}.0.{norm}.{part}.weight": (10, 256) for part in ("gain", "bias")}
    return made


def published_cifar_D() -> Shapes:
    made = layer("linear", 1, 256) | layer("embed", 10, 256, bias=False)
    for index in range(4):
        made |= convolutions(f"blocks.{index}.0", 256 if index else 3, 256, shortcut=index < 2)
    return made


# name -> the source's two nets, narrow, and what the options must be
SHAPES: dict[str, tuple[Callable[[], SourceG], Callable[[], SourceD], dict[str, str | int]]] = {
    "imagenet": (
        lambda: SourceG(128, 8, classes=5, shared_dim=6, chunk=3, attn=64),
        lambda: SourceD(128, 8, classes=5, attn=64),
        {"crop_size": 128, "z_dim": 18, "ngf": 8, "ndf": 8, "n_classes": 5, "attn_res": "64"}
        | {"attn_res_D": "64", "hierarchical": "true", "shared_dim": 6},
    ),
    "cifar": (
        lambda: SourceG(32, 4, classes=5, z=7),
        lambda: SourceD(32, 3, classes=5),
        {"crop_size": 32, "z_dim": 7, "ngf": 4, "ndf": 3, "n_classes": 5, "attn_res": "none"}
        | {"attn_res_D": "none", "hierarchical": "false", "shared_dim": 0},
    ),
    "whole z, shared embedding": (
        lambda: SourceG(64, 4, classes=5, shared_dim=6, z=7, attn=32),
        lambda: SourceD(64, 4, classes=5, attn=16),
        {"crop_size": 64, "z_dim": 7, "ngf": 4, "ndf": 4, "n_classes": 5, "attn_res": "32"}
        | {"attn_res_D": "16", "hierarchical": "false", "shared_dim": 6},
    ),
}


def own_nets(found: dict, *, spectral: bool = True) -> tuple[BigGANGenerator, BigGANDiscriminator]:
    """Our nets as imported options describe them."""
    on_G, on_D = (() if found[name] == "none" else (int(found[name]),) for name in ("attn_res", "attn_res_D"))
    common = {"size": found["crop_size"], "n_classes": found["n_classes"]}
    G = BigGANGenerator(
        z_dim=found["z_dim"],
        output_nc=found["output_nc"],
        ngf=found["ngf"],
        norm=NORMS[found["norm"]],
        attn_res=on_G,
        hierarchical=found["hierarchical"] == "true",
        shared_dim=found["shared_dim"],
        **common,
    )
    D = BigGANDiscriminator(input_nc=3, ndf=found["ndf"], attn_res=on_D, **common)
    for net in (G, D) if spectral else ():
        apply_spectral_norm(net, net.spectral_layers())
    return G.eval(), D.eval()


# ---------------------------------------------------------------------- keys


def shapes(state: dict[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def on_meta(published: Shapes) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in published.items()}


def test_the_rebuilt_source_has_the_published_keys_and_shapes() -> None:
    with torch.device("meta"):
        assert shapes(SourceG(32, 64, classes=10, z=128).state_dict()) == published_cifar_G()
        assert shapes(SourceD(32, 64, classes=10).state_dict()) == published_cifar_D()
        G = SourceG(128, 96, classes=1000, shared_dim=128, chunk=20, attn=64)
        assert shapes(G.state_dict()) == published_imagenet_G()
        assert shapes(SourceD(128, 96, classes=1000, attn=64).state_dict()) == published_imagenet_D()


@pytest.mark.parametrize("name", ["imagenet", "cifar"])
def test_published_shapes_become_those_of_our_nets(name: str) -> None:
    published = {
        "imagenet": (published_imagenet_G(), published_imagenet_D()),
        "cifar": (published_cifar_G(), published_cifar_D()),
    }[name]
    found = options(*map(on_meta, published))
    with torch.device("meta"):
        nets = own_nets(found, spectral=False)
    for kind, source, net in zip("GD", published, nets, strict=True):
        made = shapes(translate(on_meta(source), kind))
        plain = {key.replace("parametrizations.weight.original", "weight"): made[key] for key in made}
        vectors = {key for key in plain if key.endswith(("._u", "._v"))}
        assert len(vectors) == 2 * sum("u0" in key for key in source)
        assert {key: plain[key] for key in plain.keys() - vectors} == shapes(net.state_dict())


def test_options_of_the_published_nets() -> None:
    common = {"model": "biggan", "output_nc": 3, "norm": "batch"}
    assert options(on_meta(published_imagenet_G()), on_meta(published_imagenet_D())) == common | {
        **{"crop_size": 128, "z_dim": 120, "ngf": 96, "ndf": 96, "n_classes": 1000},
        **{"attn_res": "64", "attn_res_D": "64", "hierarchical": "true", "shared_dim": 128},
    }
    assert options(on_meta(published_cifar_G())) == common | {
        **{"crop_size": 32, "z_dim": 128, "ngf": 64, "n_classes": 10},
        **{"attn_res": "none", "hierarchical": "false", "shared_dim": 0},
    }


# ---------------------------------------------------------------------- outputs


@pytest.mark.parametrize("name", SHAPES)
def test_imported_nets_answer_as_the_source(name: str) -> None:
    torch.manual_seed(0)
    make_G, make_D, expected = SHAPES[name]
    source_G, source_D = make_G().eval(), make_D().eval()
    states = source_G.state_dict(), source_D.state_dict()
    found = options(*states)
    assert found == {"model": "biggan", "output_nc": 3, "norm": "batch"} | expected
    G, D = own_nets(found)
    G.load_state_dict(translate(states[0], "G"))
    D.load_state_dict(translate(states[1], "D"))
    z, label = torch.randn(3, found["z_dim"]), torch.tensor([0, 4, 2])
    with torch.no_grad():
        images = source_G(z, label)
        assert images.std() > 0.1  # or equal images would say little
        torch.testing.assert_close(G(z, label), images, rtol=0, atol=1e-5)
        x = torch.rand(3, 3, found["crop_size"], found["crop_size"]) * 2 - 1
        torch.testing.assert_close(D(x, label), source_D(x, label), rtol=1e-5, atol=1e-5)


def test_vectors_are_those_after_the_source_s_next_iteration() -> None:
    source = SourceD(32, 3, classes=5)
    weight, u = source.linear.weight.detach(), source.linear.u0[0]
    made = translate(source.state_dict(), "D")
    v = F.normalize(u @ weight, dim=0)
    torch.testing.assert_close(made["linear.parametrizations.weight.0._v"], v)
    torch.testing.assert_close(made["linear.parametrizations.weight.0._u"], F.normalize(weight @ v, dim=0))


# ---------------------------------------------------------------------- refusals


def cifar(kind: str) -> dict[str, Tensor]:
    return SHAPES["cifar"][kind == "D"]().state_dict()


@pytest.mark.parametrize("kind", ["G", "D"])
def test_missing_and_unexpected_keys_are_named(kind: str) -> None:
    state = cifar(kind)
    missing = {key: value for key, value in state.items() if key != "blocks.1.0.conv1.bias"}
    with refused(kind, "blocks.1.0.conv1.bias"):
        translate(missing, kind)
    for name in ("optimizer.lr", "blocks.1.0.conv1.u1", "blocks.2.2.gamma"):
        with refused(kind, name):
            translate(state | {name: torch.zeros(())}, kind)
    with refused(kind, "blocks.0.1.theta.weight"):
        translate(state | {"blocks.0.1.gamma": torch.zeros(())}, kind)


def test_attention_after_a_block_that_keeps_its_side_is_unexpected() -> None:
    with refused("D", "blocks.2.1.gamma"):
        translate(cifar("D") | {"blocks.2.1.gamma": torch.zeros(())}, "D")


def test_the_last_singular_values_are_dropped_and_nothing_else() -> None:
    state = cifar("G")
    without = {key: value for key, value in state.items() if not key.endswith(".sv0")}
    assert len(without) < len(state)
    assert translate(without, "G").keys() == translate(state, "G").keys()
    translated, sizes = translate(state, "G"), sum("u0" in key for key in state)
    counters = sum(key.endswith("num_batches_tracked") for key in translated)
    assert counters == 7 and len(translated) == len(without) + sizes + counters


def test_nets_of_other_kinds_and_sizes_are_refused() -> None:
    with refused("G", 0, 3, 32, 4, 64):
        translate({"conv.weight": torch.zeros(1)}, "G")
    with refused("G"):
        options(cifar("D"), cifar("G"))
    with refused(32, 64):
        options(cifar("G"), SHAPES["whole z, shared embedding"][1]().state_dict())
