"""Files written whole or not at all, read without running code, and explained where they do not fit."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from models import networks
from util.clock import Clock
from util.errors import RunFault, UserError
from util.run import checkpoint, weights
from util.run.checkpoint import Checkpoint


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    value = {"a": torch.arange(3), "b": [1, 2.5, "x", None, True]}
    checkpoint.save(value, tmp_path / "deep" / "x.pt")
    read = checkpoint.load(tmp_path / "deep" / "x.pt")
    assert torch.equal(read["a"], value["a"]) and read["b"] == value["b"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.pt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "x.pt"
    checkpoint.save({"a": 1}, path)
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(RunFault, match=r"x\.pt.*No space left on device"):
        checkpoint.save({"a": 2}, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "evil.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="holds more than weights"):
        checkpoint.load(Path("evil.pth"))
    Path("bare.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError):
        checkpoint.load(Path("bare.pth"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_torn_file_is_told(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "x.pt"
    checkpoint.save({"a": torch.randn(1000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    with pytest.raises(UserError, match=r"x\.pt is"):
        checkpoint.load(path)


def test_old_file_formats_are_read(tmp_path: Path) -> None:
    state = OrderedDict(weight=torch.ones(2))
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(weights.read(tmp_path / "old.pth")["weight"], torch.ones(2))


def test_parts_and_what_differs_between_ranks_come_back(tmp_path: Path) -> None:
    clock, mine = Clock(), Clock()
    clock.advance(7)
    mine.advance(9)
    Checkpoint(tmp_path, {"clock": clock}, {"mine": mine}).save()
    other, theirs = Clock(), Clock()
    Checkpoint(tmp_path, {"clock": other}, {"mine": theirs}).load()
    assert (other.images, theirs.images) == (7, 9)


def test_another_number_of_processes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clock = Clock()
    Checkpoint(tmp_path, {"clock": clock}, {}).save()
    state = checkpoint.load(tmp_path / "latest_state.pt")
    checkpoint.save(state | {"ranks": [{}, {}]}, tmp_path / "latest_state.pt")
    Checkpoint(tmp_path, {"clock": clock}, {}).load()
    assert "had 2 processes and has 1 now" in capsys.readouterr().err


def test_states_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "latest_state.pt"
    for value in ({"model": 1}, [1, 2], {"format": "other"}):
        checkpoint.save(value, path)
        with pytest.raises(UserError, match="was not written by this project"):
            Checkpoint(tmp_path, {}, {}).load()
    Checkpoint(tmp_path, {"clock": Clock()}, {}).save()
    with pytest.raises(UserError, match="another version"):
        Checkpoint(tmp_path, {"hands": Clock()}, {}).load()


# ---------------------------------------------------------------------- weights


def saved(net: nn.Module, tmp_path: Path, rename=lambda key: key) -> Path:
    path = tmp_path / "latest_net_G.pth"
    torch.save(OrderedDict((rename(key), value) for key, value in net.state_dict().items()), path)
    return path


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_taken_off(tmp_path: Path, prefix: str) -> None:
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


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"use_dropout": True}, "--no_dropout"),
        ({"norm": "batch"}, "trained with --norm batch"),
        ({"netG": "resnet_9blocks"}, "9 residual blocks, this net 6: check --netG"),
        ({"ngf": 16}, "check --ngf"),
        ({"input_nc": 1}, "check --input_nc"),
        ({"netG": "unet_128"}, "another kind of network"),
    ],
)
def test_a_mismatch_names_the_flag_that_explains_it(tmp_path: Path, changes: dict, sentence: str) -> None:
    path = saved(generator(**changes), tmp_path)
    net = generator()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(UserError, match=sentence):
        weights.load_into(net, path, "G")
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_the_other_way_round_is_explained_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trained with --norm instance"):
        weights.load_into(generator(norm="batch"), saved(generator(), tmp_path), "G")
    attentive = networks.add_attention(generator(), ["trunk"])
    with pytest.raises(UserError, match="it has attention"):
        weights.load_into(generator(), saved(attentive, tmp_path), "G")
    with pytest.raises(UserError, match="it has no attention"):
        weights.load_into(attentive, saved(generator(), tmp_path), "G")


@pytest.mark.parametrize("value", [[1, 2], {}, {"a": 1}, {"net": {"a": torch.ones(1)}}, torch.ones(2)])
def test_what_is_no_state_dict_is_told(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "x.pth")
    with pytest.raises(UserError, match="not the weights of one network"):
        weights.read(tmp_path / "x.pth")


def test_shared_keys_are_taken_and_the_rest_reported(tmp_path: Path) -> None:
    plain, attentive = generator(), networks.add_attention(generator(), ["trunk"])
    new, unused = weights.load_shared(attentive, saved(plain, tmp_path))
    assert (
        new == sorted(key for key in attentive.state_dict() if key.startswith("attention.")) and unused == []
    )
    new, unused = weights.load_shared(generator(), saved(attentive, tmp_path))
    assert new == [] and len(unused) == 5
    with pytest.raises(UserError, match="shares no weights"):
        weights.load_shared(networks.define_D(1, 2, "pixel"), saved(plain, tmp_path))


def test_plain_and_spectrally_normalised_weights_are_exchanged(tmp_path: Path) -> None:
    plain, normalised = networks.define_D(3, 4, "basic"), networks.define_D(3, 4, "basic")
    networks.apply_spectral_norm(normalised)
    new, unused = weights.load_shared(normalised, saved(plain, tmp_path))
    assert unused == [] and all(key.rsplit(".", 1)[1] in ("_u", "_v") for key in new)
    original = normalised.state_dict()["model.0.parametrizations.weight.original"]
    assert torch.equal(original, plain.state_dict()["model.0.weight"])


def test_a_folder_without_fitting_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no latest_net_\*\.pth for G_A"):
        weights.init_from({"G_A": generator()}, tmp_path, "latest")
