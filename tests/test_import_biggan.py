"""The importer of BigGAN weights against the source's layout, rebuilt here from its published facts.

No original checkpoint is at hand: keys and shapes are those of the source's nets, the numbers are random.
"""

import re
from collections.abc import Callable

import pytest
import torch
from biggan_source import SourceD, SourceG
from conftest import refused
from torch import Tensor

from models.imports.biggan import options, translate
from models.nets.biggan import BigGANDiscriminator, BigGANGenerator
from models.nets.layers import NORMS, apply_spectral_norm

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


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


COMMON = {"model": "biggan", "output_nc": 3, "norm": "batch"}
# the published nets, their numbers of parameters, and what the options must be
PUBLISHED = {
    "imagenet": (
        lambda: (SourceG(128, 96, 1000, shared_dim=128, chunk=20, attn=64), SourceD(128, 96, 1000, attn=64)),
        [70_433_988, 87_982_370],
        {"crop_size": 128, "z_dim": 120, "ngf": 96, "ndf": 96, "n_classes": 1000, "attn_res": "64"}
        | {"attn_res_D": "64", "hierarchical": "true", "shared_dim": 128},
    ),
    "cifar": (
        lambda: (SourceG(32, 64, 10, z=128), SourceD(32, 64, 10)),
        [4_304_387, 4_207_361],
        {"crop_size": 32, "z_dim": 128, "ngf": 64, "ndf": 64, "n_classes": 10, "attn_res": "none"}
        | {"attn_res_D": "none", "hierarchical": "false", "shared_dim": 0},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_become_those_of_our_nets(name: str) -> None:
    make, counts, expected = PUBLISHED[name]
    with torch.device("meta"):
        sources = make()
        assert [sum(one.numel() for one in net.parameters()) for net in sources] == counts
        states = [net.state_dict() for net in sources]
        found = options(*states)
        assert found == COMMON | expected
        assert options(states[0]) == {key: found[key] for key in found if key not in ("ndf", "attn_res_D")}
        nets = own_nets(found, spectral=False)
    for kind, source, net in zip("GD", states, nets, strict=True):
        made = shapes(translate(source, kind))
        plain = {key.replace("parametrizations.weight.original", "weight"): made[key] for key in made}
        vectors = {key for key in plain if key.endswith(("._u", "._v"))}
        assert len(vectors) == 2 * sum("u0" in key for key in source)
        assert {key: plain[key] for key in plain.keys() - vectors} == shapes(net.state_dict())


@pytest.mark.parametrize("name", SHAPES)
def test_imported_nets_answer_as_the_source(name: str) -> None:
    torch.manual_seed(0)
    make_G, make_D, expected = SHAPES[name]
    source_G, source_D = make_G().eval(), make_D().eval()
    states = source_G.state_dict(), source_D.state_dict()
    found = options(*states)
    assert found == COMMON | expected
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


def cifar(kind: str) -> dict[str, Tensor]:
    return SHAPES["cifar"][kind == "D"]().state_dict()


@pytest.mark.parametrize("kind", ["G", "D"])
def test_missing_and_unexpected_keys_are_named(kind: str) -> None:
    state = cifar(kind)
    missing = {key: value for key, value in state.items() if key != "blocks.1.0.conv1.bias"}
    with refused(kind, "blocks.1.0.conv1.bias"):
        translate(missing, kind)
    for name in ("optimizer.lr", "blocks.1.0.conv1.v0", "blocks.2.2.gamma"):
        with refused(kind, name):
            translate(state | {name: torch.zeros(())}, kind)
    with refused(kind, "blocks.0.1.theta.weight"):
        translate(state | {"blocks.0.1.gamma": torch.zeros(())}, kind)
    if kind == "D":  # this block keeps its side
        with refused("D", "blocks.2.1.gamma"):
            translate(state | {"blocks.2.1.gamma": torch.zeros(())}, "D")


def test_the_last_singular_values_are_dropped_and_nothing_else() -> None:
    state = cifar("G")
    without = {key: value for key, value in state.items() if not key.endswith(".sv0")}
    assert len(without) < len(state)
    assert translate(without, "G").keys() == translate(state, "G").keys()
    translated, sizes = translate(state, "G"), sum("u0" in key for key in state)
    counters = sum(key.endswith("num_batches_tracked") for key in translated)
    assert counters == 7 and len(translated) == len(without) + sizes + counters


def renamed(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The statistics as training with --mybn (`stored`) or --cross_replica (`running`) saves them."""
    return {re.sub(r"\.stored_(mean|var)$", rf".bn.{name}_\1", key): state[key] for key in state}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[key], b[key], rtol=1e-6, atol=0) for key in a)


def test_statistics_of_other_batch_norms_are_read() -> None:
    usual = cifar("G")
    expected = translate(usual, "G")
    synchronised = renamed(usual, "running")
    prefixes = {key.removesuffix("running_mean") for key in synchronised if key.endswith("running_mean")}
    synchronised |= {f"{prefix}num_batches_tracked": torch.tensor(9) for prefix in prefixes}
    assert equal(translate(synchronised, "G"), expected)
    assert options(synchronised) == options(usual) | {"norm": "syncbatch"}
    own = renamed(usual, "stored")
    for count, factor in ((0.0, 1), (4.0, 4)):  # after standing statistics were measured, it stores sums
        counted = {key: value * factor if ".bn.stored" in key else value for key, value in own.items()}
        counted |= {f"{prefix}accumulation_counter": torch.tensor([count]) for prefix in prefixes}
        assert equal(translate(counted, "G"), expected)
        assert options(counted) == options(usual)


def test_norms_without_statistics_are_refused_by_name() -> None:
    statistics = re.compile(r"blocks\..*\.bn\d\.stored_")
    without = {key: value for key, value in cifar("G").items() if not statistics.match(key)}
    with refused("--norm_style", "gn", "nonorm"):
        translate(without, "G")


@pytest.mark.parametrize("kind", ["G", "D"])
def test_further_singular_vectors_change_nothing(kind: str) -> None:
    """Training with --num_G_SVs 3 stores them for its log."""
    state = cifar(kind)
    more = {key: value for key, value in state.items() if key.endswith(("u0", "sv0"))}
    further = {f"{key[:-1]}{index}": value for key, value in more.items() for index in (1, 2)}
    assert equal(translate(state | further, kind), translate(state, kind))


def test_nets_of_other_kinds_and_sizes_are_refused() -> None:
    with refused("G", 0, 3, 32, 4, 64):
        translate({"conv.weight": torch.zeros(1)}, "G")
    with refused("G"):
        options(cifar("D"), cifar("G"))
    with refused(32, 64):
        options(cifar("G"), SHAPES["whole z, shared embedding"][1]().state_dict())
