"""Augmentation for small data sets, R1, the gradient penalty and orthogonal weights, which every model has by flag."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import OptionMaker, random_batch, refused
from gradients import STILL, discriminator_loss, gradient, gradients_of_phases
from torch import Tensor, nn

from models import create_model
from models.base_model import BaseModel
from models.latent_model import LatentModel
from models.networks import GANLoss, gradient_penalty, r1_penalty
from models.training import diffaug
from models.training import step as training_step
from models.training.diffaug import DiffAugment
from models.training.orthogonal_regularisation import add_orthogonal_gradient
from models.training.penalties import DiscriminatorLoss
from options.checks import AUGMENTATIONS


class SumOfPixels(nn.Module):
    """A discriminator that keeps its input; its logit is the sum of the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        self.input = x
        return x.flatten(1).sum(1)


def images(size: int = 4, channels: int = 3, side: int = 32) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(size, channels, side, side, dtype=torch.float64) * 2 - 1


def make(train_opt: OptionMaker, name: str, *words: object) -> BaseModel:
    torch.manual_seed(0)
    return create_model(train_opt("--model", name, "--norm", "instance", *words))


def batch_for(model: BaseModel, seed: int = 0) -> dict:
    return random_batch("latent" if isinstance(model, LatentModel) else "pairs", seed=seed)


def test_the_flag_accepts_every_augmentation() -> None:
    assert set(AUGMENTATIONS) == set(diffaug.KINDS)


def test_translation_shifts_by_at_most_an_eighth_and_fills_with_grey() -> None:
    x = torch.zeros(64, 1, 32, 32)
    x[:, :, 16, 16] = 1.0
    moved = diffaug.translate(x)
    places = moved[:, 0].flatten(1).argmax(1)
    shifts = torch.stack([places // 32 - 16, places % 32 - 16])
    assert moved.flatten(1).sum(1).eq(1).all()
    assert shifts.abs().max() == 4 and shifts.min() == -4
    assert len(set(map(tuple, shifts.T.tolist()))) > 20  # each image has a shift of its own


def test_cutout_blanks_up_to_a_quarter_and_nothing_else() -> None:
    x = torch.ones(64, 3, 32, 32)
    cut = diffaug.cut_out(x)
    assert set(cut.unique().tolist()) == {0.0, 1.0}
    blank = 1 - cut.mean((1, 2, 3))
    assert blank.max() <= 0.25 and blank.min() < 0.2 < blank.max()


def test_each_image_of_a_batch_and_of_a_stack_is_recoloured_separately() -> None:
    x = images(2, channels=6)
    torch.manual_seed(1)
    changed = diffaug.recolour(x)
    assert not torch.allclose(changed[0] - x[0], changed[1] - x[1])
    tinted = diffaug.recolour(torch.full((1, 3, 8, 8), 0.2))
    assert (tinted - tinted.mean()).abs().max() < 1e-6  # saturation and contrast act about the mean
    assert diffaug.recolour(images(2, channels=1)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("kind", sorted(diffaug.KINDS))
def test_augmentation_is_differentiable(kind: str) -> None:
    x = images().requires_grad_(True)
    diffaug.KINDS[kind](x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_augmentation_is_off_in_eval_mode() -> None:
    net = SumOfPixels()
    net.register_forward_pre_hook(DiffAugment(["translation", "color"]))
    x = images()
    net(x)
    assert not torch.equal(net.input, x)
    net.eval()(x)
    assert torch.equal(net.input, x)


@pytest.mark.parametrize("name", ["cycle_gan", "pix2pix", "dcgan", "cgan", "sagan"])
def test_diffaug_applies_to_every_discriminator_and_no_generator(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name, "--diffaug")
    assert model.opt.diffaug == list(AUGMENTATIONS)
    for net, role in model.roles.items():
        hooks = [type(hook) for hook in model.nets[net]._forward_pre_hooks.values()]
        assert hooks == ([DiffAugment] if role == "discriminator" else []), net
    model.optimize_parameters(batch_for(model))
    assert all(torch.isfinite(torch.tensor(value)) for value in model.get_current_losses().values())


def test_r1_of_a_constant_gradient() -> None:
    x = images(2, side=4)
    assert r1_penalty(SumOfPixels(), x) == pytest.approx(0.5 * 48)  # 1 at each of 3 * 4 * 4 pixels


def test_r1_leaves_the_image_pools_alone(train_opt: OptionMaker) -> None:
    model = make(train_opt, "cycle_gan", "--r1_gamma", 1)
    model.phases = [phase for phase in model.phases if phase.name == "D_r1"]
    model.optimize_parameters(batch_for(model))
    assert model.pool_A.images == model.pool_B.images == []


@pytest.mark.parametrize(("weight", "expected"), [(0.0, None), (2.0, 2.0 * (48**0.5 - 1) ** 2)])
@pytest.mark.parametrize("mode", ["hinge", "wgangp"])
def test_the_gradient_penalty_is_added_to_any_objective(
    mode: str, weight: float, expected: float | None
) -> None:
    net, x = SumOfPixels(), images(2, side=4)
    inputs = {"real": lambda: {"D": x}, "fake": lambda: {"D": -x}, "label": lambda: None}
    loss = DiscriminatorLoss(
        {"D": net}, GANLoss(mode).discriminator, **inputs, lambda_gp=weight, r1_gamma=0.0, sum_weight=None
    )
    terms = loss.terms()
    assert ("D_gp" in terms) == (expected is not None)
    assert expected is None or terms["D_gp"] == pytest.approx(expected)
    summed = replace(loss, sum_weight=0.5).terms()
    assert summed.keys() == {"D"} and summed["D"] == pytest.approx(0.5 * sum(terms.values()).item())


@pytest.mark.parametrize("name", ["cycle_gan", "cycle_gan_attn", "pix2pix", "dcgan", "cgan"])
def test_r1_is_a_lazy_phase_of_every_model(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name, "--r1_gamma", 2, "--r1_every", 3)
    phases = {phase.name: phase for phase in model.phases}
    assert phases["D_r1"].optimizer is phases["D"].optimizer and phases["D_r1"].nets == phases["D"].nets
    assert phases["D_r1"].every == 3 and phases["D_r1"].scale == 3 * phases["D"].scale
    due = []
    for index in range(4):
        model._terms.pop("D_r1", None)
        model.optimize_parameters(batch_for(model, seed=index))
        due.append(any("r1" in name for name in model.get_current_losses()))
    assert due == [True, False, False, True]


@pytest.mark.parametrize(
    ("name", "scale"),
    [("cycle_gan", 0.5), ("cycle_gan_attn", 0.5), ("pix2pix", 0.5), ("dcgan", 1), ("cgan", 1)],
)
def test_penalties_weigh_the_same_relative_to_the_adversarial_loss_in_every_model(
    train_opt: OptionMaker, name: str, scale: float
) -> None:
    """By gradients: scale * (adversarial loss + lambda_gp * penalty + r1_gamma * R1)."""
    words = ("--no_dropout", "--pool_size", 0, "--r1_gamma", 2, "--r1_every", 3, *STILL)
    model, penalised = make(train_opt, name, *words), make(train_opt, name, *words, "--lambda_gp", 4)
    batch = batch_for(model) | {"z": torch.randn(4, 100)}
    found, found_penalised = (gradients_of_phases(each, batch) for each in (model, penalised))
    loss = discriminator_loss(model)
    real, fake, label = loss.real(), {name: x.detach() for name, x in loss.fake().items()}, loss.label()

    def expected(term: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Tensor:
        torch.manual_seed(0)
        total = sum(term(net, real[name], fake[name]) for name, net in loss.nets.items())
        return scale * gradient(total, model, loss.nets)

    adversarial = expected(lambda D, x, y: sum(model.gan.discriminator(D, x, y, label).values()))
    penalty = expected(lambda D, x, y: gradient_penalty(D, x, y, label))
    r1 = expected(lambda D, x, y: r1_penalty(D, x, label))
    for measured, wanted in (
        (found["D"], adversarial),
        (found_penalised["D"], adversarial + 4 * penalty),
        (found["D_r1"], 2 * 3 * r1),
    ):
        assert (measured - wanted).norm() < 1e-4 * wanted.norm()


@pytest.mark.parametrize("words", ["--r1_gamma 2", "--lambda_gp 3", "--diffaug color", "--ortho_D 0.5"])
def test_flags_of_a_discriminator_are_refused_without_one(train_opt: OptionMaker, words: str) -> None:
    with refused(*words.split(), "--model", "template"):
        make(train_opt, "template", *words.split())


def test_the_orthogonal_gradient_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 2, bias=False).double()
    layer.weight.grad = torch.zeros_like(layer.weight)
    add_orthogonal_gradient(layer, 1e-2)
    weight = layer.weight.detach().clone().requires_grad_(True)
    rows = weight.flatten(1)
    # Eq. 3 with half its weight, as in BigGAN-PyTorch
    (0.5 * ((rows @ rows.T) * (1 - torch.eye(5))).square().sum()).backward()
    assert torch.allclose(layer.weight.grad, 1e-2 * weight.grad, atol=1e-12)


def test_the_filters_of_a_transposed_convolution_are_its_output_channels() -> None:
    torch.manual_seed(0)
    forward, transposed = nn.Conv2d(3, 5, 2, bias=False), nn.ConvTranspose2d(3, 5, 2, bias=False)
    with torch.no_grad():
        transposed.weight.copy_(forward.weight.transpose(0, 1))
    for layer in (forward, transposed):
        layer.weight.grad = torch.zeros_like(layer.weight)
        add_orthogonal_gradient(layer, 1.0)
    assert torch.allclose(forward.weight.grad, transposed.weight.grad.transpose(0, 1), atol=1e-6)
    assert forward.weight.grad.abs().max() > 0


def test_orthogonal_filters_embeddings_and_biases_get_no_gradient() -> None:
    net = nn.ModuleList([nn.Linear(6, 4), nn.Embedding(3, 4)])
    nn.init.orthogonal_(net[0].weight)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    add_orthogonal_gradient(net, 1.0)
    assert all(parameter.grad.abs().max() < 1e-6 for parameter in net.parameters())


def test_orthogonal_regularisation_applies_once_a_step_with_r1(
    train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    treated: list[str] = []
    monkeypatch.setattr(
        training_step, "add_orthogonal_gradient", lambda net, strength: treated.append(type(net).__name__)
    )
    model = make(train_opt, "dcgan", "--r1_gamma", 1, "--ortho_D", 1e-4)
    model.optimize_parameters(batch_for(model))
    assert treated == ["DCGANDiscriminator"]


def test_spectral_norm_takes_one_iteration_a_step_however_many_parts(train_opt: OptionMaker) -> None:
    vectors = []
    for parts in (1, 2):
        model = make(train_opt, "sagan", "--batch_size", 4, "--accumulate", parts)
        model.phases = model.phases[:1]
        forwards: list[int] = []
        model.nets["D"].register_forward_hook(lambda *_, calls=forwards: calls.append(1))
        model.optimize_parameters(batch_for(model))
        assert len(forwards) == parts  # real and fake images in one batch
        vectors.append({key: value.clone() for key, value in model.nets["D"].named_buffers()})
    assert vectors[0] and all(torch.equal(vectors[0][key], vectors[1][key]) for key in vectors[0])


def test_spectral_norm_takes_no_iteration_in_a_frozen_net(train_opt: OptionMaker) -> None:
    model = make(train_opt, "sagan", "--n_critic", 2)
    model.optimize_parameters(batch_for(model))

    def vectors(net: str) -> dict[str, Tensor]:
        buffers = model.nets[net].named_buffers()
        return {name: value.clone() for name, value in buffers if name.endswith("._u")}

    before = {net: vectors(net) for net in ("G", "D")}
    model.optimize_parameters(batch_for(model, seed=1))  # in the second step only the discriminator learns
    for net, frozen in (("G", True), ("D", False)):
        after = vectors(net)
        assert before[net] and all(torch.equal(before[net][name], after[name]) for name in after) == frozen
