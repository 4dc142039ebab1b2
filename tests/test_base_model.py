"""The step that all plugins share: EMA, guards, rates, and attention's bit-equal start."""

from argparse import Namespace
from collections.abc import Callable

import pytest
import torch
from conftest import random_batch
from torch import nn

from models import create_model, networks
from models.training.ema import EMA
from util.errors import RunFault, UserError
from util.run.lifecycle import begin

OptionMaker = Callable[..., Namespace]


def model_of(train_opt: OptionMaker, name: str, *words: object):
    torch.manual_seed(7)
    return create_model(train_opt("--model", name, *words))


def test_attention_at_gamma_zero_is_cycle_gan_to_the_bit(train_opt: OptionMaker) -> None:
    plain = model_of(train_opt, "cycle_gan")
    attentive = model_of(
        train_opt, "cycle_gan_attn", "--attn_G_pos", "down,mid,trunk", "--attn_D", "stride4,stride8"
    )
    batch = random_batch("pairs")
    ours, theirs = plain.test(batch), attentive.test(batch)
    for label in ("fake_A", "fake_B", "rec_A", "rec_B"):
        assert torch.equal(ours[label], theirs[label])
    plain.optimize_parameters(batch)
    attentive.optimize_parameters(batch)
    shared, losses = plain.get_current_losses(), attentive.get_current_losses()
    assert all(losses[name] == value for name, value in shared.items() if not name.startswith("D"))


def test_attention_learns_and_its_gammas_are_logged(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, "cycle_gan_attn")
    for step in range(2):
        model.optimize_parameters(random_batch("pairs", seed=step))
    gammas = {name: value for name, value in model.get_current_losses().items() if name.startswith("gamma")}
    assert set(gammas) == {"gamma_G_A_trunk", "gamma_G_B_trunk", "gamma_D_A_stride8", "gamma_D_B_stride8"}
    assert all(value != 0 for value in gammas.values())


def test_attention_panels_show_both_generators(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, "cycle_gan_attn")
    model.optimize_parameters(random_batch("pairs"))
    shown = model.get_current_visuals()
    assert shown["attn_A"].shape == shown["attn_B"].shape == (4, 3, 32, 64)
    without = model_of(train_opt, "cycle_gan_attn", "--attn_G_pos", "none")
    without.optimize_parameters(random_batch("pairs"))
    assert "attn_A" not in without.get_current_visuals()


def test_the_sagan_preset_sets_what_it_says(train_opt: OptionMaker) -> None:
    opt = train_opt("--model", "cycle_gan_attn", "--attn_preset", "sagan")
    assert (opt.gan_mode, opt.spectral, opt.lr_G, opt.lr_D, opt.beta1, opt.beta2) == (
        "hinge",
        "D",
        1e-4,
        4e-4,
        0,
        0.9,
    )
    assert train_opt("--model", "cycle_gan_attn", "--attn_preset", "sagan", "--lr_D", 1e-3).lr_D == 1e-3
    model = create_model(opt)
    model.optimize_parameters(random_batch("pairs"))
    normalised = [name for name in model.nets.state_dict() if name.endswith("weight.original")]
    assert normalised and all(name.startswith("D_") for name in normalised)


@pytest.mark.parametrize("preset", ["none", "sagan"])
def test_a_cycle_gan_run_warm_starts_the_attention_model(train_opt: OptionMaker, preset: str, capsys) -> None:
    plain = model_of(train_opt, "cycle_gan", "--name", "plain")
    plain.optimize_parameters(random_batch("pairs"))
    plain.save_networks("latest")
    words = ("--name", "warm", "--init_from", "plain", "--attn_preset", preset, "--ema_decay", 0.9)
    warm = model_of(train_opt, "cycle_gan_attn", *words)
    begin(warm.opt, warm)
    told = capsys.readouterr().out
    shadow = warm.ema.shadows["G_A"].state_dict()
    assert all(torch.equal(value, shadow[key]) for key, value in warm.G_A.state_dict().items())
    assert "G_A loaded 36 tensors" in told and "new: attention.trunk.gamma" in told
    batch = random_batch("pairs", seed=5)
    assert torch.equal(plain.test(batch)["fake_B"], warm.test(batch)["fake_B"])


def test_identity_of_unequal_channels_is_refused(train_opt: OptionMaker) -> None:
    with pytest.raises(UserError, match="lambda_identity 0"):
        train_opt("--model", "cycle_gan", "--input_nc", 1)
    model = create_model(train_opt("--model", "cycle_gan", "--input_nc", 1, "--lambda_identity", 0))
    batch = random_batch("pairs")
    model.optimize_parameters(batch | {"A": batch["A"][:, :1]})
    assert "idt_A" not in model.get_current_losses() and "idt_B" not in model.get_current_visuals()


def test_generators_learn_first_in_cycle_gan_and_discriminators_in_pix2pix(train_opt: OptionMaker) -> None:
    assert [phase.name for phase in model_of(train_opt, "cycle_gan").phases] == ["G", "D"]
    pix2pix = model_of(train_opt, "pix2pix", "--netG", "resnet_6blocks")
    assert [phase.name for phase in pix2pix.phases] == ["D", "G"]


def test_pix2pix_logs_its_discriminator_as_the_classic_does(train_opt: OptionMaker) -> None:
    """D_real and D_fake are whole, and half of their sum is learned from."""
    model = model_of(train_opt, "pix2pix", "--netG", "resnet_6blocks")
    batch = random_batch("pairs")
    model.set_input(batch)
    model.forward()
    logits = model.D(torch.cat([model.real_A, model.real_B], 1))
    expected = networks.GANLoss("vanilla").real(logits).item()
    model.optimize_parameters(batch)
    assert model.get_current_losses()["D_real"] == pytest.approx(expected, abs=1e-5)
    assert model.phases[0].scale == 0.5


@pytest.mark.parametrize("device_steps", [0, 3])
def test_a_loss_that_is_not_finite_stops_before_it_harms(train_opt: OptionMaker, device_steps: int) -> None:
    model = model_of(train_opt, "cycle_gan")
    for step in range(device_steps):
        model.optimize_parameters(random_batch("pairs", seed=step))
    before = {key: value.clone() for key, value in model.nets.state_dict().items()}
    batch = random_batch("pairs")
    batch["A"][0, 0, 0, 0] = float("nan")
    with pytest.raises(RunFault, match=r"cycle_A.* is not a finite number at step .*--continue_train"):
        model.optimize_parameters(batch)
    assert all(torch.equal(before[key], value) for key, value in model.nets.state_dict().items())


def test_rates_are_factors_of_each_phase_s_own(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, "cycle_gan", "--lr_G", 1e-3, "--lr_D", 4e-3)
    for factor in (0.5, 0.25):
        model.update_learning_rate(factor)
        rates = [phase.optimizer.param_groups[0]["lr"] for phase in model.phases]
        assert rates == pytest.approx([1e-3 * factor, 4e-3 * factor])


def test_a_rate_given_anew_on_resume_is_taken(train_opt: OptionMaker) -> None:
    first = model_of(train_opt, "cycle_gan", "--lr", 1e-3)
    first.optimize_parameters(random_batch("pairs"))
    begin(first.opt, first).save()
    again = model_of(train_opt, "cycle_gan", "--lr", 5e-4, "--beta1", 0.3, "--continue_train")
    begin(again.opt, again)
    again.update_learning_rate(0.5)
    group = again.phases[0].optimizer.param_groups[0]
    assert group["lr"] == pytest.approx(2.5e-4) and group["betas"] == (0.3, 0.999)
    moment = first.phases[0].optimizer.state[first.phases[0].parameters[0]]["exp_avg"]
    assert torch.equal(again.phases[0].optimizer.state[again.phases[0].parameters[0]]["exp_avg"], moment)


def test_phases_over_the_same_nets_share_an_optimizer_and_can_be_lazy(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, "cycle_gan")
    calls = []

    def terms() -> dict[str, torch.Tensor]:
        calls.append(model.steps)
        return {"D_extra": sum(p.square().sum() for p in model.D_A.parameters())}

    model.add_phase("lazy", terms, ["D_A", "D_B"], lr=1.0, every=3)
    assert model.phases[-1].optimizer is model.phases[-2].optimizer
    for step in range(5):
        model.optimize_parameters(random_batch("pairs", seed=step))
    assert calls == [0, 3]


def test_ema_follows_with_a_warm_up_and_copies_buffers() -> None:
    net = nn.BatchNorm2d(2)
    ema = EMA(0.9)
    ema.track("net", net)
    with torch.no_grad():
        net.weight.fill_(11.0)
        net.running_mean.fill_(5.0)
    ema.update(nn.ModuleDict({"net": net}))
    shadow = ema.shadows["net"]
    assert shadow.weight[0].item() == pytest.approx(0.1 * 1 + 0.9 * 11)  # the first decay is 1 / 10
    assert torch.equal(shadow.running_mean, net.running_mean)
    for _ in range(200):
        ema.update(nn.ModuleDict({"net": net}))
    with torch.no_grad():
        net.weight.fill_(21.0)
    before = shadow.weight[0].item()
    ema.update(nn.ModuleDict({"net": net}))
    assert shadow.weight[0].item() == pytest.approx(0.9 * before + 0.1 * 21)


@pytest.mark.parametrize("net", [nn.Upsample(2), nn.BatchNorm2d(3, affine=False)])
def test_ema_takes_nets_without_weights(net: nn.Module) -> None:
    ema = EMA(0.9)
    ema.track("net", net)
    ema.update(nn.ModuleDict({"net": net}))
    assert ema.updates == 1


def test_ema_copies_the_vectors_of_spectral_norm() -> None:
    net = networks.apply_spectral_norm(nn.Conv2d(3, 4, 3))
    ema = EMA(0.999)
    ema.track("net", net)
    net(torch.randn(1, 3, 5, 5))
    ema.update(nn.ModuleDict({"net": net}))
    ours = dict(ema.shadows["net"].named_buffers())
    assert ours and all(torch.equal(ours[name], value) for name, value in net.named_buffers())


def test_ema_weights_are_swapped_in_and_out_to_the_bit(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, "cycle_gan", "--ema_decay", 0.9)
    for step in range(2):
        model.optimize_parameters(random_batch("pairs", seed=step))
    live = {key: value.clone() for key, value in model.nets.state_dict().items()}
    averaged = model.ema.shadows["G_A"](random_batch("pairs")["A"])
    assert torch.allclose(model.test(random_batch("pairs"))["fake_B"], averaged, atol=1e-6)
    assert all(torch.equal(live[key], value) for key, value in model.nets.state_dict().items())


def test_test_time_takes_averaged_weights_unless_told_otherwise(
    train_opt: OptionMaker, test_opt: OptionMaker
) -> None:
    model = model_of(train_opt, "cycle_gan", "--ema_decay", 0.5)
    model.optimize_parameters(random_batch("pairs"))
    model.save_networks("latest")
    flags = ("--model", "cycle_gan", "--netG", "resnet_6blocks", "--ngf", 8, "--crop_size", 32)
    averaged, last = (create_model(test_opt(*flags, *extra)) for extra in ((), ("--no_ema",)))
    averaged.load_networks("latest")
    last.load_networks("latest")
    shadow, live = model.ema.shadows["G_A"].state_dict(), model.G_A.state_dict()
    assert all(torch.equal(value, shadow[key]) for key, value in averaged.G_A.state_dict().items())
    assert all(torch.equal(value, live[key]) for key, value in last.G_A.state_dict().items())


def test_eval_decides_over_batch_norm_and_dropout(train_opt: OptionMaker, test_opt: OptionMaker) -> None:
    model = model_of(train_opt, "pix2pix", "--netG", "resnet_6blocks")
    model.save_networks("latest")
    flags = ("--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", 8, "--crop_size", 32)
    batch = random_batch("pairs")
    for extra, repeats in (((), False), (("--eval",), True)):
        tested = create_model(test_opt(*flags, *extra))
        tested.load_networks("latest")
        assert torch.equal(tested.test(batch)["fake_B"], tested.test(batch)["fake_B"]) == repeats


def test_compiled_nets_keep_their_keys(train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    model = model_of(train_opt, "cycle_gan", "--compile")
    assert compiled == [model.G_A, model.G_B, model.D_A, model.D_B]
    assert not any("_orig_mod" in key for key in model.nets.state_dict())
