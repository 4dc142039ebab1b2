"""Weight files: read in every published form, compared with the net, and explained where they do not fit."""

import math
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from conftest import refused
from torch import nn

from models import networks
from util.run import weight_files, weights


def test_old_file_formats_are_read(tmp_path: Path) -> None:
    state = OrderedDict(weight=torch.ones(2))
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(weights.read(tmp_path / "old.pth")["weight"], torch.ones(2))


def saved(net: nn.Module, tmp_path: Path, rename=lambda key: key) -> Path:
    path = tmp_path / "latest_net_G.pth"
    torch.save(OrderedDict((rename(key), value) for key, value in net.state_dict().items()), path)
    return path


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_removed(tmp_path: Path, prefix: str) -> None:
    net = networks.define_D(3, 4, "basic")
    path = saved(net, tmp_path, lambda key: prefix + key)
    other = networks.define_D(3, 4, "basic")
    weights.load_into(other, path, "D")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in other.state_dict().items())


def test_statistics_of_old_instance_norms_are_dropped(tmp_path: Path) -> None:
    net = networks.define_D(3, 4, "basic", norm="instance")
    state = net.state_dict()
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        state[f"model.3.{name}"] = torch.zeros(8)
    torch.save(state, tmp_path / "old.pth")
    weights.load_into(networks.define_D(3, 4, "basic", norm="instance"), tmp_path / "old.pth", "D")


def generator(**changes) -> nn.Module:
    settings = {"input_nc": 3, "output_nc": 3, "ngf": 8, "netG": "resnet_6blocks", "norm": "instance"}
    return networks.define_G(**(settings | changes))


@pytest.mark.parametrize("value", [[1, 2], {}, {"a": 1}, {"net": {"a": torch.ones(1)}}, torch.ones(2)])
def test_a_file_that_is_not_a_state_dict_is_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "x.pth")
    with refused(tmp_path / "x.pth"):
        weights.read(tmp_path / "x.pth")


def test_a_refused_file_leaves_the_net_as_it_was(tmp_path: Path) -> None:
    """Which flag explains a mismatch is in the table of wrong uses."""
    net, path = generator(), saved(generator(ngf=16), tmp_path)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with refused(path, "--ngf"):
        weights.load_into(net, path, "G")
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_shared_keys_are_loaded_and_the_others_reported(tmp_path: Path) -> None:
    plain, attentive = generator(), networks.add_attention(generator(), ["trunk"])
    new, unused = weights.load_shared(attentive, saved(plain, tmp_path))
    assert new.keys() == {key for key in attentive.state_dict() if key.startswith("attention.")}
    assert not unused
    new, unused = weights.load_shared(generator(), saved(attentive, tmp_path))
    assert not new and len(unused) == 5


def test_names_of_both_sides_are_told_once_with_their_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    grey, net = networks.define_D(1, 4, "basic"), networks.define_D(3, 4, "basic")
    saved(grey, tmp_path).rename(tmp_path / "latest_net_D.pth")
    weights.init_from({"D": net}, tmp_path, "latest")
    told = capsys.readouterr().out
    assert told.count("model.0.weight") == 1 and "(4, 3, 4, 4)" in told and "(4, 1, 4, 4)" in told


def test_weights_move_between_plain_and_spectrally_normalised_layers(tmp_path: Path) -> None:
    plain, normalised = networks.define_D(3, 4, "basic"), networks.define_D(3, 4, "basic")
    networks.apply_spectral_norm(normalised)
    new, unused = weights.load_shared(normalised, saved(plain, tmp_path))
    assert not unused and all(key.rsplit(".", 1)[1] in ("_u", "_v") for key in new)
    original = normalised.state_dict()["model.0.parametrizations.weight.original"]
    assert torch.equal(original, plain.state_dict()["model.0.weight"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    """They would make pictures without a message."""
    path, net = tmp_path / "latest_net_G.pth", nn.Linear(2, 2)
    state = net.state_dict() | {"bias": torch.tensor([0.0, value]).to(dtype)}
    torch.save(state, path)
    with refused(path, "bias"):
        weights.load_into(net, path, "G")


def test_a_missing_epoch_is_refused_with_the_existing_ones_in_order(tmp_path: Path) -> None:
    with refused(tmp_path, "--continue_train"):
        weight_files.check_saved(tmp_path, "latest")
    for prefix in ("10", "2", "latest", "iter_400"):
        (tmp_path / f"{prefix}_net_G.pth").touch()
    with refused(tmp_path, "7", "2, 10, latest, iter_400"):
        weight_files.check_saved(tmp_path, "7")
    with refused(tmp_path / "7_net_G.pth", "2, 10, latest, iter_400"):
        weights.load_nets({"G": nn.Linear(1, 1)}, tmp_path, 7, averaged=False)


def test_masks_of_infinity_are_no_damage(tmp_path: Path) -> None:
    """A plugin's network may hold a mask of -inf; a buffer with NaN is refused when it is saved, not only when loaded."""
    path, net = tmp_path / "latest_net_G.pth", nn.Linear(2, 2)
    net.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    weights.check_finite(nn.ModuleDict({"G": net}))
    torch.save(net.state_dict(), path)
    weights.load_into(net, path, "G")
    net.mask[0] = math.nan
    with refused("G", "mask"):
        weights.check_finite(nn.ModuleDict({"G": net}))
