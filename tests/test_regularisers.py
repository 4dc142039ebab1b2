"""Augmentation for little data, R1, the gradient penalty and orthogonal weights, for every model by flag."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import random_batch
from torch import nn

from models import create_model
from models.base_model import BaseModel
from models.latent_model import LatentModel
from models.networks import GANLoss, r1_penalty
from models.training import diffaug
from models.training import step as training_step
from models.training.diffaug import DiffAugment
from models.training.orthogonal_regularisation import add_orthogonal_gradient
from models.training.penalties import DiscriminatorLoss
from options.checks import AUGMENTATIONS

OptionMaker = Callable[..., Namespace]


class Judge(nn.Module):
    """Keeps what it was shown; its logit is the sum of the pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return x.flatten(1).sum(1)


def images(size: int = 4, channels: int = 3, side: int = 32) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(size, channels, side, side, dtype=torch.float64) * 2 - 1


def make(train_opt: OptionMaker, name: str, *words: object) -> BaseModel:
    torch.manual_seed(0)
    return create_model(train_opt("--model", name, "--norm", "instance", *words))


def batch_for(model: BaseModel, seed: int = 0) -> dict:
    return random_batch("latent" if isinstance(model, LatentModel) else "pairs", seed=seed)


# ---------------------------------------------------------------------- augmentation


def test_the_flag_knows_what_there_is() -> None:
    assert set(AUGMENTATIONS) == set(diffaug.KINDS)


def test_translation_shifts_by_at_most_an_eighth_and_fills_with_grey() -> None:
    x = torch.zeros(64, 1, 32, 32)
    x[:, :, 16, 16] = 1.0
    moved = diffaug.translate(x)
    places = moved[:, 0].flatten(1).argmax(1)
    shifts = torch.stack([places // 32 - 16, places % 32 - 16])
    assert moved.flatten(1).sum(1).eq(1).all()
    assert shifts.abs().max() == 4 and shifts.min() == -4
    assert len(set(map(tuple, shifts.T.tolist()))) > 20  # each image its own way, rows and columns apart


def test_cutout_blanks_up_to_a_quarter_and_nothing_else() -> None:
    x = torch.ones(64, 3, 32, 32)
    cut = diffaug.cut_out(x)
    assert set(cut.unique().tolist()) == {0.0, 1.0}
    blank = 1 - cut.mean((1, 2, 3))
    assert blank.max() <= 0.25 and blank.min() < 0.2 < blank.max()


def test_colours_change_each_image_by_itself_and_pairs_apart() -> None:
    x = images(2, channels=6)
    torch.manual_seed(1)
    changed = diffaug.recolour(x)
    assert not torch.allclose(changed[0] - x[0], changed[1] - x[1])
    grey = torch.full((1, 3, 8, 8), 0.2)
    tinted = diffaug.recolour(grey)
    assert (
        tinted - tinted.mean()
    ).abs().max() < 1e-6  # grey stays grey: saturation and contrast act about the mean
    assert diffaug.recolour(images(2, channels=1)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("kind", sorted(diffaug.KINDS))
def test_augmentation_lets_gradients_through(kind: str) -> None:
    x = images().requires_grad_(True)
    diffaug.KINDS[kind](x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_augmentation_rests_in_eval() -> None:
    judge = Judge()
    judge.register_forward_pre_hook(DiffAugment(["translation", "color"]))
    x = images()
    judge(x)
    assert not torch.equal(judge.seen, x)
    judge.eval()(x)
    assert torch.equal(judge.seen, x)


@pytest.mark.parametrize("name", ["cycle_gan", "pix2pix", "dcgan", "cgan", "sagan"])
def test_diffaug_is_for_every_discriminator_and_for_no_generator(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name, "--diffaug")
    assert model.opt.diffaug == list(AUGMENTATIONS)
    for net in model.nets:
        hooks = [type(hook) for hook in model.nets[net]._forward_pre_hooks.values()]
        assert hooks == ([DiffAugment] if net.startswith("D") else []), net
    model.optimize_parameters(batch_for(model))
    assert all(torch.isfinite(torch.tensor(value)) for value in model.get_current_losses().values())


# ---------------------------------------------------------------------- penalties


def test_r1_of_a_known_slope() -> None:
    x = images(2, side=4)
    assert r1_penalty(Judge(), x) == pytest.approx(0.5 * 48)  # the gradient is 1 at each of 3 * 4 * 4 pixels


def test_r1_is_taken_at_real_images_alone(train_opt: OptionMaker) -> None:
    model = create_model(train_opt("--model", "dcgan", "--norm", "instance", "--r1_gamma", 1))
    model.phases = [phase for phase in model.phases if phase.name == "D_r1"]
    seen: list[torch.Tensor] = []
    model.nets["D"].register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0]))
    batch = random_batch("latent")
    model.optimize_parameters(batch)
    assert len(seen) == 1 and torch.equal(seen[0], batch["image"])


@pytest.mark.parametrize(("weight", "expected"), [(0.0, None), (2.0, 2.0 * (48**0.5 - 1) ** 2)])
@pytest.mark.parametrize("mode", ["hinge", "wgangp"])
def test_the_gradient_penalty_is_added_to_any_objective(
    mode: str, weight: float, expected: float | None
) -> None:
    judge, x = Judge(), images(2, side=4)
    inputs = {"real": lambda: {"D": x}, "fake": lambda: {"D": -x}, "label": lambda: None}
    loss = DiscriminatorLoss(
        {"D": judge}, GANLoss(mode).discriminator, **inputs, lambda_gp=weight, r1_gamma=0.0, sum_weight=None
    )
    terms = loss.terms()
    assert ("D_gp" in terms) == (expected is not None)
    assert expected is None or terms["D_gp"] == pytest.approx(expected)
    summed = replace(loss, sum_weight=0.5).terms()
    assert summed.keys() == {"D"} and summed["D"] == pytest.approx(0.5 * sum(terms.values()).item())


@pytest.mark.parametrize("name", ["cycle_gan", "cycle_gan_attn", "pix2pix", "dcgan", "cgan"])
def test_r1_is_a_lazy_phase_of_every_model(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name, "--r1_gamma", 2, "--r1_every", 3)
    phase = next(phase for phase in model.phases if phase.name == "D_r1")
    steps = next(phase for phase in model.phases if phase.name == "D")
    assert phase.optimizer is steps.optimizer and phase.nets == steps.nets
    assert phase.every == 3 and phase.scale == 3 * steps.scale
    taken = []
    for step in range(4):
        model._terms.pop("D_r1", None)
        model.optimize_parameters(batch_for(model, seed=step))
        taken.append(any("r1" in name for name in model.get_current_losses()))
    assert taken == [True, False, False, True]


# ---------------------------------------------------------------------- orthogonal weights


def test_the_orthogonal_gradient_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 2, bias=False).double()
    layer.weight.grad = torch.zeros_like(layer.weight)
    add_orthogonal_gradient(layer, 1e-2)
    free = layer.weight.detach().clone().requires_grad_(True)
    rows = free.flatten(1)
    (
        0.5 * ((rows @ rows.T) * (1 - torch.eye(5))).square().sum()
    ).backward()  # Eq. 3, halved as the code at hand
    assert torch.allclose(layer.weight.grad, 1e-2 * free.grad, atol=1e-12)


def test_the_filters_of_a_transposed_convolution_are_its_output_channels() -> None:
    torch.manual_seed(0)
    plain, transposed = nn.Conv2d(3, 5, 2, bias=False), nn.ConvTranspose2d(3, 5, 2, bias=False)
    with torch.no_grad():
        transposed.weight.copy_(plain.weight.transpose(0, 1))
    for layer in (plain, transposed):
        layer.weight.grad = torch.zeros_like(layer.weight)
        add_orthogonal_gradient(layer, 1.0)
    assert torch.allclose(plain.weight.grad, transposed.weight.grad.transpose(0, 1), atol=1e-6)
    assert plain.weight.grad.abs().max() > 0


def test_right_angles_are_left_alone_and_so_are_embeddings_and_biases() -> None:
    net = nn.ModuleList([nn.Linear(6, 4), nn.Embedding(3, 4)])
    nn.init.orthogonal_(net[0].weight)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    add_orthogonal_gradient(net, 1.0)
    assert all(parameter.grad.abs().max() < 1e-6 for parameter in net.parameters())


@pytest.mark.parametrize("name", ["G", "D"])
def test_orthogonal_regularisation_changes_the_gradient_by_its_strength(
    train_opt: OptionMaker, name: str
) -> None:
    gradients = []
    for strength in (0.0, 1.0, 2.0):
        model = make(train_opt, "pix2pix", "--no_dropout", f"--ortho_{name}", strength)
        model.phases = [phase for phase in model.phases if phase.name == name]
        model.optimize_parameters(batch_for(model))
        weight = next(parameter for parameter in model.nets[name].parameters() if parameter.ndim == 4)
        gradients.append(weight.grad.clone())
    once, twice = gradients[1] - gradients[0], gradients[2] - gradients[0]
    assert once.abs().max() > 0 and torch.allclose(twice, 2 * once, atol=1e-5)


def test_orthogonal_regularisation_comes_once_a_step_beside_r1(
    train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    treated: list[str] = []
    monkeypatch.setattr(
        training_step, "add_orthogonal_gradient", lambda net, by: treated.append(type(net).__name__)
    )
    model = make(train_opt, "dcgan", "--r1_gamma", 1, "--ortho_D", 1e-4)
    model.optimize_parameters(batch_for(model))
    assert treated == ["DCGANDiscriminator"]


# ---------------------------------------------------------------------- spectral norm, once a step


def test_spectral_norm_takes_one_iteration_a_step_however_many_parts(train_opt: OptionMaker) -> None:
    vectors = []
    for parts in (1, 2):
        model = make(train_opt, "sagan", "--batch_size", 4, "--accumulate", parts)
        model.phases = model.phases[:1]
        forwards: list[int] = []
        model.nets["D"].register_forward_hook(lambda *_, seen=forwards: seen.append(1))
        model.optimize_parameters(batch_for(model))
        assert len(forwards) == parts  # real and fake together
        vectors.append({key: value.clone() for key, value in model.nets["D"].named_buffers()})
    assert vectors[0] and all(torch.equal(vectors[0][key], vectors[1][key]) for key in vectors[0])


def test_a_frozen_net_takes_no_iteration(train_opt: OptionMaker) -> None:
    model = make(train_opt, "sagan", "--n_critic", 2)
    model.optimize_parameters(batch_for(model))
    before = {name: value.clone() for name, value in model.nets["G"].named_buffers() if name.endswith("._u")}
    judged = {name: value.clone() for name, value in model.nets["D"].named_buffers()}
    model.optimize_parameters(batch_for(model, seed=1))  # the second step is the discriminator's alone
    after = dict(model.nets["G"].named_buffers())
    assert before and all(torch.equal(after[name], value) for name, value in before.items())
    assert any(
        not torch.equal(dict(model.nets["D"].named_buffers())[name], value) for name, value in judged.items()
    )
