"""The training step that all plugins share: roles, averages, checks, learning rates; and attention in CycleGAN."""

import pytest
import torch
from conftest import DatalessModel, OptionMaker, names_all, random_batch, refused
from torch import nn

from models import create_model, find_model_using_name, networks
from models.training import step as training_step
from models.training.ema import EMA
from util.errors import RunFault
from util.run.lifecycle import begin


def model_of(train_opt: OptionMaker, name: str, *words: object):
    torch.manual_seed(7)
    return create_model(train_opt("--model", name, *words))


def test_attention_at_gamma_zero_equals_cycle_gan_bit_for_bit(train_opt: OptionMaker) -> None:
    without = model_of(train_opt, "cycle_gan")
    attentive = model_of(
        train_opt, "cycle_gan_attn", "--attn_G_pos", "down,mid,trunk", "--attn_D", "stride4,stride8"
    )
    batch = random_batch("pairs")
    expected, images = without.test(batch), attentive.test(batch)
    for label in ("fake_A", "fake_B", "rec_A", "rec_B"):
        assert torch.equal(images[label], expected[label])
    without.optimize_parameters(batch)
    attentive.optimize_parameters(batch)
    assert without.generator_loss() == attentive.generator_loss()


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


def test_the_sagan_preset_sets_the_documented_flags(train_opt: OptionMaker) -> None:
    opt = train_opt("--model", "cycle_gan_attn", "--attn_preset", "sagan")
    expected = {"gan_mode": "hinge", "spectral": "D", "lr_G": 1e-4, "lr_D": 4e-4, "beta1": 0, "beta2": 0.9}
    assert {name: getattr(opt, name) for name in expected} == expected
    assert train_opt("--model", "cycle_gan_attn", "--attn_preset", "sagan", "--lr_D", 1e-3).lr_D == 1e-3
    model = create_model(opt)
    model.optimize_parameters(random_batch("pairs"))
    normalised = [name for name in model.nets.state_dict() if name.endswith("weight.original")]
    assert {name.split(".")[0] for name in normalised} == {"D_A", "D_B"}


@pytest.mark.parametrize("preset", ["none", "sagan"])
def test_a_cycle_gan_run_warm_starts_the_attention_model(train_opt: OptionMaker, preset: str, capsys) -> None:
    source = model_of(train_opt, "cycle_gan", "--name", "source")
    source.optimize_parameters(random_batch("pairs"))
    source.save_networks("latest")
    words = ("--name", "warm", "--init_from", "source", "--attn_preset", preset, "--ema_decay", 0.9)
    warm = model_of(train_opt, "cycle_gan_attn", *words)
    begin(warm.opt, warm)
    output = capsys.readouterr().out
    shadow = warm.ema.shadows["G_A"].state_dict()
    assert all(torch.equal(value, shadow[key]) for key, value in warm.G_A.state_dict().items())
    assert names_all(output, ["G_A", 36, "attention.trunk.gamma"])
    batch = random_batch("pairs", seed=5)
    assert torch.equal(source.test(batch)["fake_B"], warm.test(batch)["fake_B"])


def test_unequal_channels_train_without_the_identity_loss(train_opt: OptionMaker) -> None:
    model = create_model(train_opt("--model", "cycle_gan", "--input_nc", 1, "--lambda_identity", 0))
    batch = random_batch("pairs")
    model.optimize_parameters(batch | {"A": batch["A"][:, :1]})
    assert "idt_A" not in model.get_current_losses() and "idt_B" not in model.get_current_visuals()


def test_generators_learn_first_in_cycle_gan_and_discriminators_in_pix2pix(train_opt: OptionMaker) -> None:
    assert [phase.name for phase in model_of(train_opt, "cycle_gan").phases] == ["G", "D"]
    pix2pix = model_of(train_opt, "pix2pix", "--netG", "resnet_6blocks")
    assert [phase.name for phase in pix2pix.phases] == ["D", "G"]


@pytest.mark.parametrize(
    ("name", "kind", "scale"),
    [("dcgan", "latent", 1.0), ("pix2pix", "pairs", 0.5), ("cycle_gan", "pairs", 1.0)],
)
def test_a_plugin_with_the_old_terms_D_still_trains_with_it(
    name: str, kind: str, scale: float, train_opt: OptionMaker, capsys
) -> None:
    class OldModel(find_model_using_name(name)):  # type: ignore[misc]
        def terms_D(self) -> dict[str, torch.Tensor]:
            judges = [self.nets[net] for net, role in self.roles.items() if role == "discriminator"]
            return {"D_old": sum(weight.square().sum() for net in judges for weight in net.parameters())}

    words = ["--model", name, "--netG", "dcgan" if name == "dcgan" else "resnet_6blocks"]
    model = OldModel(train_opt(*words))
    assert "terms_D" in capsys.readouterr().err
    assert {phase.name: phase.scale for phase in model.phases} == {"D": scale, "G": 1.0}
    logged = []
    for _ in range(2):
        model.optimize_parameters(random_batch(kind))
        logged.append(model.get_current_losses())
    assert logged[1]["D_old"] < logged[0]["D_old"] and not {"D_real", "D_A"} & logged[0].keys()
    regularised = OldModel(train_opt(*words, "--r1_gamma", 1))
    regularised.check_flags()
    assert {"D", "D_r1", "G"} == {phase.name for phase in regularised.phases}
    with refused("--lambda_gp", 10.0):
        OldModel(train_opt(*words, "--lambda_gp", 10)).check_flags()


def test_pix2pix_logs_the_losses_of_its_discriminator_as_upstream(train_opt: OptionMaker) -> None:
    """It logs D_real and D_fake unscaled, and minimises half of their sum."""
    model = model_of(train_opt, "pix2pix", "--netG", "resnet_6blocks")
    batch = random_batch("pairs")
    model.set_input(batch)
    model.forward()
    logits = model.D(torch.cat([model.real_A, model.real_B], 1))
    expected = networks.GANLoss("vanilla").real(logits).item()
    model.optimize_parameters(batch)
    assert model.get_current_losses()["D_real"] == pytest.approx(expected, abs=1e-5)
    assert model.phases[0].scale == 0.5


@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_loss_that_is_not_finite_stops_the_step_before_an_update(
    train_opt: OptionMaker, steps_before: int
) -> None:
    model = model_of(train_opt, "cycle_gan")
    for step in range(steps_before):
        model.optimize_parameters(random_batch("pairs", seed=step))
    before = {key: value.clone() for key, value in model.nets.state_dict().items()}
    batch = random_batch("pairs")
    batch["A"][0, 0, 0, 0] = float("nan")
    with refused("cycle_A", "--continue_train", steps_before + 1, error=RunFault):
        model.optimize_parameters(batch)
    assert all(torch.equal(before[key], value) for key, value in model.nets.state_dict().items())


def test_learning_rates_are_multiples_of_the_rate_of_each_phase(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, "cycle_gan", "--lr_G", 1e-3, "--lr_D", 4e-3)
    for factor in (0.5, 0.25):
        model.update_learning_rate(factor)
        rates = [phase.optimizer.param_groups[0]["lr"] for phase in model.phases]
        assert rates == pytest.approx([1e-3 * factor, 4e-3 * factor])


def test_resuming_uses_the_learning_rate_of_the_command_line(train_opt: OptionMaker) -> None:
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


def two_roles(train_opt: OptionMaker, *words: object) -> DatalessModel:
    """A model whose names say nothing about roles: `Depth` is a generator, `G` a discriminator."""
    model = DatalessModel(train_opt("--n_epochs", 1, *words))
    for name, role in (("Depth", None), ("G", None), ("E", "encoder")):
        ema = True if name == "Depth" else None
        setattr(model, name, model.add_net(name, nn.Conv2d(1, 1, 1), role=role, ema=ema))
    model.add_phase("D_first", lambda: {"Depth_L1": model.Depth.weight.sum()}, ["Depth"], lr=1e-3)
    model.add_phase("E", lambda: {"E_loss": model.E.weight.sum()}, ["E"], lr=1e-3)
    model.add_discriminator_phase(
        "G",
        lambda net, real, fake, label: {"real": net(real).mean()},
        ["G"],
        real=lambda: {"G": torch.ones(1, 1, 2, 2)},
        fake=lambda: {"G": torch.zeros(1, 1, 2, 2)},
        lr=1e-3,
    )
    return model


def test_roles_follow_from_averaging_and_phases_and_not_from_names(
    train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = two_roles(train_opt, "--diffaug", "color", "--ortho_G", 1, "--ortho_D", 2)
    assert model.roles == {"Depth": "generator", "G": "discriminator", "E": "encoder"}
    assert [phase.role for phase in model.phases] == ["generator", "encoder", "discriminator"]
    assert {name for name, net in model.nets.items() if net._forward_pre_hooks} == {"G"}
    strengths: dict[nn.Module, float] = {}
    monkeypatch.setattr(training_step, "add_orthogonal_gradient", strengths.__setitem__)
    depth = model.Depth.weight.sum().item()
    model.optimize_parameters({"A": torch.zeros(1)})
    assert strengths == {model.Depth: 1, model.G: 2}
    assert model.generator_loss() == pytest.approx(depth)
    assert set(model.get_current_losses()) == {"Depth_L1", "E_loss", "G_real"}


def test_generators_are_averaged_by_their_role_and_other_nets_on_request(train_opt: OptionMaker) -> None:
    model = DatalessModel(train_opt("--ema_decay", 0.9))
    for name, words in {"a": {"role": "generator"}, "b": {"role": "encoder"}, "c": {"ema": True}}.items():
        model.add_net(name, nn.Conv2d(1, 1, 1), **words)
    model.add_net("d", nn.Conv2d(1, 1, 1), role="generator", ema=False)
    assert list(model.ema.shadows) == ["a", "c"]


def test_ema_decay_is_refused_without_an_averaged_net(train_opt: OptionMaker) -> None:
    model = two_roles(train_opt, "--ema_decay", 0.9)
    with refused("--ema_decay", 0.9):
        model.check_flags()


@pytest.mark.parametrize("net", [nn.Upsample(2), nn.BatchNorm2d(3, affine=False)])
def test_ema_accepts_nets_without_weights(net: nn.Module) -> None:
    ema = EMA(0.9)
    ema.track("net", net)
    ema.update(nn.ModuleDict({"net": net}))
    assert ema.updates == 1


def test_averaged_weights_make_the_images(train_opt: OptionMaker) -> None:
    model = model_of(train_opt, "cycle_gan", "--ema_decay", 0.9)
    for step in range(2):
        model.optimize_parameters(random_batch("pairs", seed=step))
    averaged = model.ema.shadows["G_A"](random_batch("pairs")["A"])
    assert torch.allclose(model.test(random_batch("pairs"))["fake_B"], averaged, atol=1e-6)


def test_test_time_uses_averaged_weights_unless_no_ema_is_given(
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


def test_the_eval_flag_puts_batch_norm_and_dropout_into_eval_mode(
    train_opt: OptionMaker, test_opt: OptionMaker
) -> None:
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
