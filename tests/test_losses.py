"""Adversarial objectives on constants, their direction, and the gradient penalty."""

import math

import pytest
import torch
from conftest import refused
from torch import nn

from models import networks
from models.networks import GANLoss, gradient_penalty


@pytest.mark.parametrize(
    ("mode", "real", "fake", "generator"),
    [
        ("vanilla", math.log(1 + math.exp(-0.5)), math.log(1 + math.exp(0.5)), math.log(1 + math.exp(-0.5))),
        ("lsgan", 0.25, 0.25, 0.25),
        ("hinge", 0.5, 1.5, -0.5),
        ("wgangp", -0.5, 0.5, -0.5),
    ],
)
def test_values_at_one_half(mode: str, real: float, fake: float, generator: float) -> None:
    logits, loss = torch.full((2, 1, 3, 3), 0.5), GANLoss(mode)
    assert abs(loss.real(logits).item() - real) < 1e-6
    assert abs(loss.fake(logits).item() - fake) < 1e-6
    assert abs(loss.generator(logits).item() - generator) < 1e-6


def test_hinge_is_flat_beyond_its_margin() -> None:
    loss = GANLoss("hinge")
    assert loss.real(torch.tensor([1.5, 3.0])) == 0 and loss.fake(torch.tensor([-1.5, -3.0])) == 0


def test_each_patch_is_judged_before_the_mean_is_taken() -> None:
    logits = torch.tensor([0.0, 2.0])
    assert GANLoss("lsgan").real(logits) == 1.0  # the loss of the mean would be 0


@pytest.mark.parametrize("mode", ["vanilla", "lsgan", "wgangp"])
def test_the_call_of_upstream_means_the_same_and_is_refused_for_hinge(mode: str) -> None:
    logits, loss = torch.randn(2, 1, 4, 4), GANLoss(mode)
    assert loss(logits, True) == loss.real(logits) == loss.generator(logits)
    assert loss(logits, False) == loss.fake(logits)
    with refused(".generator", error=ValueError):
        GANLoss("hinge")(logits, True)


@pytest.mark.parametrize("mode", ["vanilla", "lsgan", "hinge", "wgangp"])
def test_a_generator_step_raises_what_the_discriminator_thinks_of_fakes(mode: str) -> None:
    torch.manual_seed(0)
    generator, judge = nn.Linear(4, 8), nn.Linear(8, 1)
    z, optimizer = torch.randn(32, 4), torch.optim.SGD(generator.parameters(), lr=1e-2)
    before = judge(generator(z)).mean()
    GANLoss(mode).generator(judge(generator(z))).backward()
    optimizer.step()
    assert judge(generator(z)).mean() > before


@pytest.mark.parametrize("mode", ["vanilla", "lsgan", "hinge", "wgangp"])
def test_a_discriminator_step_separates_real_from_fake(mode: str) -> None:
    torch.manual_seed(0)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    real, fake = torch.randn(16, 3, 2, 2) + 0.5, torch.randn(16, 3, 2, 2) - 0.5
    before = (judge(real).mean() - judge(fake).mean()).item()
    optimizer = torch.optim.SGD(judge.parameters(), lr=1e-2)
    terms = GANLoss(mode).discriminator(judge, real, fake)
    assert set(terms) == {"real", "fake"}
    sum(terms.values()).backward()
    optimizer.step()
    assert (judge(real).mean() - judge(fake).mean()).item() > before


def test_discriminator_terms_leave_the_generator_alone() -> None:
    fake = torch.randn(2, 3, 2, 2, requires_grad=True)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    sum(GANLoss("wgangp").discriminator(judge, torch.randn(2, 3, 2, 2), fake).values()).backward()
    assert fake.grad is None


def test_penalty_of_a_linear_judge_is_known() -> None:
    """|grad| of w.x is |w| everywhere."""
    judge = nn.Sequential(nn.Flatten(), nn.Linear(12, 1, bias=False))
    with torch.no_grad():
        judge[1].weight.fill_(3 / math.sqrt(12))
    penalty = gradient_penalty(judge, torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2))
    assert abs(penalty.item() - 4.0) < 1e-4
    penalty.backward()
    assert judge[1].weight.grad is not None and judge[1].weight.grad.abs().max() > 0


def test_penalty_goes_through_attention() -> None:
    net = networks.add_attention(networks.define_D(3, 8, "basic"), ["stride8"])
    nn.init.constant_(net.attention["stride8"].gamma, 0.5)
    gradient_penalty(net, torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)).backward()
    grad = net.attention["stride8"].query.weight.grad
    assert grad is not None and torch.isfinite(grad).all() and grad.abs().max() > 0


def test_half_precision_logits_are_judged_in_full_precision() -> None:
    assert GANLoss("vanilla").real(torch.zeros(3, dtype=torch.bfloat16)).dtype == torch.float32


def test_the_penalty_asks_for_images_of_one_size() -> None:
    with refused("(8, 8)", "(8, 9)", "--preprocess", "--lambda_gp"):
        gradient_penalty(networks.define_D(3, 4, "pixel"), torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
