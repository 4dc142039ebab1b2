"""The contract of model plugins: each test runs over every plugin in models/, new ones included."""

import math

import pytest
import torch
from conftest import OptionMaker, names_all, random_batch, small_nets
from gradients import gradients_of_phases

from models import create_model, find_model_using_name
from models.base_model import BaseModel
from models.latent_model import LatentModel
from options.train_options import TrainOptions
from util import plugins
from util.errors import UserError
from util.run.lifecycle import begin

PLUGINS = sorted(plugins.files("model"))
SMALL = "--norm instance --pool_size 3 --ema_decay 0.9 --batch_size 4 --n_epochs 1 --n_epochs_decay 0".split()


def trainable(name: str) -> bool:
    try:
        TrainOptions().parse(["--model", name, "--dataroot", ".", *small_nets(["--model", name])])
    except UserError:
        return False
    return True


TRAINABLE = [name for name in PLUGINS if trainable(name)]


def make(train_opt: OptionMaker, name: str, *words: object) -> BaseModel:
    torch.manual_seed(0)
    return create_model(train_opt("--model", name, *SMALL, *words))


def batch_for(model: BaseModel, seed: int = 0, size: int = 4) -> dict:
    if isinstance(model, LatentModel):
        z = torch.randn(size, model.opt.z_dim, generator=torch.Generator().manual_seed(seed))
        return random_batch("latent", size=size, seed=seed) | {"z": z}
    kind = "colorization" if model.opt.dataset_mode == "colorization" else "pairs"
    return random_batch(kind, size=size, seed=seed)


def batch_without_noise(model: BaseModel, seed: int) -> dict:
    """A batch for which the model draws the noise."""
    batch = batch_for(model, seed=seed)
    batch.pop("z", None)
    return batch


def weights(model: BaseModel) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.nets.state_dict().items()}


def changed_nets(model: BaseModel, before: dict[str, torch.Tensor]) -> set[str]:
    return {key.split(".")[0] for key, value in weights(model).items() if not value.equal(before[key])}


def test_only_the_test_plugin_refuses_training() -> None:
    assert set(PLUGINS) - set(TRAINABLE) == {"test"}


@pytest.mark.parametrize("name", PLUGINS)
def test_its_class_is_documented_and_named_after_its_file(name: str) -> None:
    found = find_model_using_name(name)
    assert issubclass(found, BaseModel)
    assert len(plugins.available("model")[name]) > 20
    assert found.__doc__


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_clipped_step_changes_every_net_and_shows_losses_and_images(
    train_opt: OptionMaker, name: str
) -> None:
    model = make(train_opt, name, "--clip_grad", 1e-3)
    assert model.roles.keys() == model.nets.keys() and "generator" in model.roles.values()
    assert model.ema.shadows
    before = weights(model)
    model.optimize_parameters(batch_for(model))
    assert changed_nets(model, before) == set(model.nets)
    losses = model.get_current_losses()
    assert losses and all(map(math.isfinite, losses.values()))
    assert list(losses)[: len(model.loss_names)] == list(model.loss_names)
    for label, images in model.get_current_visuals().items():
        assert images.ndim == 4 and len(images) in (1, 4), label
        assert images.abs().max() <= 1.001 and not images.requires_grad, label
    for phase in model.phases:
        norm = torch.stack([p.grad.norm() for p in phase.parameters if p.grad is not None]).norm()
        assert norm <= 1.01e-3


@pytest.mark.parametrize("name", TRAINABLE)
def test_each_phase_changes_only_its_own_nets(train_opt: OptionMaker, name: str) -> None:
    for index in range(len(make(train_opt, name).phases)):
        model = make(train_opt, name)
        before = weights(model)
        model.phases = [model.phases[index]]
        model.optimize_parameters(batch_for(model))
        assert changed_nets(model, before) == set(model.phases[0].nets)


@pytest.mark.parametrize("name", TRAINABLE)
def test_making_images_changes_no_weight_and_no_mode(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name)
    model.optimize_parameters(batch_for(model))
    before, modes = weights(model), [module.training for module in model.nets.modules()]
    generator = torch.get_rng_state()
    first = model.test(batch_for(model, seed=1))
    torch.set_rng_state(generator)
    second = model.test(batch_for(model, seed=1))
    assert all(torch.equal(first[label], second[label]) for label in first)
    assert all(torch.equal(before[key], value) for key, value in weights(model).items())
    assert modes == [module.training for module in model.nets.modules()]


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_resumed_run_equals_an_uninterrupted_one(train_opt: OptionMaker, name: str) -> None:
    """Five steps equal three steps, a new model with the saved state, and two more steps."""
    uninterrupted = make(train_opt, name)
    run = begin(uninterrupted.opt, uninterrupted)
    for step in range(3):
        uninterrupted.optimize_parameters(batch_without_noise(uninterrupted, step))
    run.save()
    for step in (3, 4):
        uninterrupted.optimize_parameters(batch_without_noise(uninterrupted, step))

    resumed = make(train_opt, name, "--continue_train", "--seed", 99)
    begin(resumed.opt, resumed)
    for step in (3, 4):
        resumed.optimize_parameters(batch_without_noise(resumed, step))
    assert_same_state(uninterrupted.state_dict(), resumed.state_dict())
    assert uninterrupted.get_current_losses() == resumed.get_current_losses()


def assert_same_state(a: object, b: object, path: str = "") -> None:
    """Raise AssertionError unless two nested states are equal bit for bit."""
    assert type(a) is type(b), path
    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same_state(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        assert len(a) == len(b), path
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same_state(x, y, f"{path}/{index}")
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        assert torch.equal(a, b), path
    else:
        assert a == b, path


@pytest.mark.parametrize("name", TRAINABLE)
def test_networks_are_saved_and_loaded_under_the_names_of_upstream(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name)
    model.optimize_parameters(batch_for(model))
    model.save_networks("latest")
    files = {path.name for path in model.save_dir.glob("*.pth")}
    averaged = {f"latest_net_{net}_ema.pth" for net in model.ema.shadows}
    assert files == {f"latest_net_{net}.pth" for net in model.nets} | averaged
    other = make(train_opt, name, "--seed", 5)
    other.load_networks("latest")
    saved = weights(model)
    assert all(torch.equal(saved[key], value) for key, value in weights(other).items())


@pytest.mark.parametrize("name", TRAINABLE)
def test_bf16_trains_and_keeps_full_precision_weights(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name, "--amp", "bf16")
    model.optimize_parameters(batch_for(model))
    assert all(parameter.dtype == torch.float32 for parameter in model.nets.parameters())
    assert all(torch.isfinite(images).all() for images in model.get_current_visuals().values())
    assert all(map(math.isfinite, model.get_current_losses().values()))


@pytest.mark.parametrize("name", TRAINABLE)
def test_fp16_scales_its_losses(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name, "--amp", "fp16")
    before = weights(model)
    for step in range(4):  # the scale is too large for some nets at first, and falls until a step succeeds
        model.optimize_parameters(batch_for(model, seed=step, size=2))
    assert model.scaler.get_scale() > 0 and model.get_current_visuals()
    assert any(not torch.equal(before[key], value) for key, value in weights(model).items())


@pytest.mark.parametrize("name", TRAINABLE)
def test_wgangp_adds_the_gradient_penalty_or_is_refused(train_opt: OptionMaker, name: str) -> None:
    try:
        model = make(train_opt, name, "--gan_mode", "wgangp")
    except UserError as error:  # it has no discriminator, or spectral norm bounds it already
        assert names_all(str(error), ["--gan_mode", "wgangp"])
        return
    without = make(train_opt, name, "--gan_mode", "wgangp", "--lambda_gp", 0)
    penalised, bare = (gradients_of_phases(each, batch_for(each))["D"] for each in (model, without))
    assert not torch.allclose(penalised, bare)
    assert sum(model.get_current_losses().values()) > sum(without.get_current_losses().values())


def in_double(value: torch.Tensor | list[str]) -> torch.Tensor | list[str]:
    return value.double() if torch.is_tensor(value) and value.is_floating_point() else value


@pytest.mark.parametrize("name", TRAINABLE)
def test_accumulation_equals_the_large_batch(train_opt: OptionMaker, name: str) -> None:
    words = ("--no_dropout", "--pool_size", 0)
    whole, parts = make(train_opt, name, *words), make(train_opt, name, *words, "--accumulate", 4)
    if whole.phases[0].role == "generator" and len(whole.phases) > 1:
        # where the generator learns first, the discriminator sees newer fakes: only the first phase is equal
        whole.phases, parts.phases = whole.phases[:1], parts.phases[:1]
    for model in (whole, parts):
        model.nets.double()
        model.ema.shadows.double()
        for step in range(2):
            batch = batch_for(model, seed=step)
            model.optimize_parameters({key: in_double(value) for key, value in batch.items()})
    after = weights(parts)
    for key, value in weights(whole).items():
        assert torch.allclose(value, after[key], atol=1e-6, rtol=0), key
    assert whole.get_current_losses() == pytest.approx(parts.get_current_losses(), abs=1e-6)


@pytest.mark.parametrize("name", ["cycle_gan", "cycle_gan_attn", "pix2pix", "template"])
def test_direction_swaps_source_and_target(train_opt: OptionMaker, name: str) -> None:
    models = [make(train_opt, name, "--no_dropout", "--direction", way) for way in ("AtoB", "BtoA")]
    batch = batch_for(models[0])
    models[0].optimize_parameters(batch)
    models[1].optimize_parameters(batch | {"A": batch["B"], "B": batch["A"]})
    assert models[0].get_current_losses() == models[1].get_current_losses()
