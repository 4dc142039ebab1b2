"""The noise-to-image models: z and labels, the order of learning, what is shown, statistics for making images."""

import pytest
import torch
from conftest import OptionMaker, random_batch, refused

from models import create_model
from models.latent_flags import query_points, resolutions
from models.latent_model import LatentModel

FAMILY = ["dcgan", "cgan", "sagan", "biggan"]


def make(train_opt: OptionMaker, name: str, *words: object) -> LatentModel:
    torch.manual_seed(0)
    model = create_model(train_opt("--model", name, *words))
    assert isinstance(model, LatentModel)
    return model


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("dcgan", {"gan_mode": "vanilla", "lr_G": 2e-4, "lr_D": 2e-4, "beta1": 0.5, "z_dim": 100}),
        ("dcgan", {"init_type": "normal", "init_gain": 0.02, "norm": "batch", "n_critic": 1}),
        ("cgan", {"gan_mode": "vanilla", "lr_G": 2e-4, "beta1": 0.5, "cond": "onehot", "z_dim": 100}),
        ("sagan", {"gan_mode": "hinge", "lr_G": 1e-4, "lr_D": 4e-4, "beta1": 0.0, "beta2": 0.9}),
        (
            "sagan",
            {"z_dim": 128, "init_type": "xavier", "n_critic": 1, "sn_scope": "all", "upsample": "deconv"},
        ),
        ("biggan", {"gan_mode": "hinge", "lr_G": 5e-5, "lr_D": 2e-4, "beta1": 0.0, "beta2": 0.999}),
        ("biggan", {"init_type": "orthogonal", "ortho_G": 1e-4, "n_critic": 2, "ema_decay": 0.9999}),
    ],
)
def test_defaults_are_those_of_the_papers(train_opt: OptionMaker, name: str, defaults: dict) -> None:
    opt = train_opt("--model", name)
    assert {key: getattr(opt, key) for key in defaults} == defaults


@pytest.mark.parametrize(
    ("side", "z_dim", "split"),
    [(32, 128, "false"), (64, 120, "true"), (128, 120, "true"), (256, 140, "true")],
)
def test_the_architecture_of_biggan_depends_on_the_size(
    train_opt: OptionMaker, side: int, z_dim: int, split: str
) -> None:
    opt = train_opt("--model", "biggan", "--load_size", side, "--crop_size", side)
    assert (opt.z_dim, opt.hierarchical) == (z_dim, split)
    assert opt.shared_dim == (0 if side == 32 else 128)


def test_initial_weights_follow_the_flags_under_spectral_norm(train_opt: OptionMaker) -> None:
    model = make(train_opt, "biggan")
    raw = model.nets["G"].get_parameter("linear.parametrizations.weight.original")
    gram = raw.T @ raw
    assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-4)
    normal = make(train_opt, "dcgan", "--ngf", 64).nets["G"].main[0].weight
    assert normal.std().item() == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("name", FAMILY)
def test_a_generator_step_raises_the_logits_of_fakes(train_opt: OptionMaker, name: str) -> None:
    model = make(train_opt, name, "--norm", "instance", "--lr_G", 1e-3, "--ema_decay", 0)
    model.phases = [phase for phase in model.phases if phase.name == "G"]
    batch = random_batch("latent") | {"z": torch.randn(4, model.opt.z_dim)}

    def mean_logit() -> float:
        with torch.no_grad():
            model.set_input(batch)
            model.forward()
            return model.D(*model.with_label(model.fake)).mean().item()

    before = mean_logit()
    for _ in range(3):
        model.optimize_parameters(batch)
    assert mean_logit() > before


def test_the_discriminator_learns_at_each_step_and_the_generator_at_every_nth(train_opt: OptionMaker) -> None:
    model = make(train_opt, "biggan", "--n_critic", 3, "--ema_decay", 0)
    moved = []
    for step in range(4):
        before = [parameter.detach().clone() for parameter in model.nets["G"].parameters()]
        judged = [parameter.detach().clone() for parameter in model.nets["D"].parameters()]
        model.optimize_parameters(random_batch("latent", seed=step))
        moved.append(not all(map(torch.equal, before, model.nets["G"].parameters())))
        assert not all(map(torch.equal, judged, model.nets["D"].parameters()))
    assert moved == [True, False, False, True]
    assert "G_gan" in model.get_current_losses()


def test_the_last_loss_of_the_generator_is_shown_between_its_steps(train_opt: OptionMaker) -> None:
    model = make(train_opt, "sagan", "--n_critic", 2)
    model.optimize_parameters(random_batch("latent"))
    loss = model.get_current_losses()["G_gan"]
    model.optimize_parameters(random_batch("latent", seed=1))
    assert model.get_current_losses()["G_gan"] == loss


def test_both_nets_get_the_labels_of_the_batch(train_opt: OptionMaker) -> None:
    model = make(train_opt, "cgan")
    received: dict[str, list[torch.Tensor]] = {"G": [], "D": []}
    for name, labels in received.items():
        model.nets[name].register_forward_pre_hook(
            lambda net, inputs, labels=labels: labels.append(inputs[1])
        )
    batch = random_batch("latent")
    model.optimize_parameters(batch)
    assert len(received["G"]) == 1 and len(received["D"]) == 3  # real and fake for D, fake for G
    assert all(torch.equal(label, batch["label"]) for label in received["G"] + received["D"])


def test_noise_is_normal_and_new_at_each_step(train_opt: OptionMaker) -> None:
    model = make(train_opt, "dcgan", "--z_dim", 500)
    seen = []
    for _ in range(2):
        model.set_input(random_batch("latent", size=64))
        seen.append(model.z)
    assert seen[0].shape == (64, 500) and not torch.equal(*seen)
    assert abs(seen[0].mean()) < 0.02 and abs(seen[0].std() - 1) < 0.02


def test_labels_that_are_missing_or_out_of_range_are_refused(train_opt: OptionMaker) -> None:
    model, batch = make(train_opt, "cgan"), random_batch("latent")
    with refused(7, "--n_classes", 3):
        model.optimize_parameters(batch | {"label": torch.tensor([0, 1, 7, 2])})
    del batch["label"]
    with refused("--model", "cgan", "label", "--dataset_mode", "folder"):
        model.optimize_parameters(batch)


def test_the_panel_has_a_row_for_each_class_and_a_column_for_each_z(train_opt: OptionMaker) -> None:
    panel = make(train_opt, "cgan").panel
    assert panel["label"].tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert torch.equal(panel["z"][:8], panel["z"][16:]) and not torch.equal(panel["z"][0], panel["z"][1])
    assert make(train_opt, "dcgan").panel["z"].shape == (64, 100)


def test_the_panel_shows_averaged_weights_and_the_same_noise(train_opt: OptionMaker) -> None:
    model = make(train_opt, "dcgan", "--ema_decay", 0.9)
    model.optimize_parameters(random_batch("latent"))
    shown = model.get_current_visuals()
    assert shown["samples"].shape == (1, 3, 8 * 32 + 7 * 2, 8 * 32 + 7 * 2)
    assert torch.equal(shown["samples"], model.get_current_visuals()["samples"])
    assert not torch.equal(shown["fake"], shown["real"])
    averaged = make(train_opt, "dcgan")
    averaged.nets["G"].load_state_dict(model.ema.shadows["G"].state_dict())
    with torch.no_grad():
        expected = averaged.nets["G"].eval()(model.panel["z"][:1])
    assert torch.allclose(shown["samples"][0, :, :32, :32], expected[0], atol=1e-6)


def test_attention_is_shown_at_the_chosen_points_unless_it_is_left_out(train_opt: OptionMaker) -> None:
    model = make(train_opt, "sagan", "--attn_points", "0.5,0.5;0,0;0.9,0.2")
    model.optimize_parameters(random_batch("latent"))
    shown = model.get_current_visuals()
    assert list(shown) == ["real", "fake", "samples", "attn_G", "attn_D"]
    assert shown["attn_G"].shape == shown["attn_D"].shape == (4, 3, 32, 3 * 32)
    gammas = [name for name in model.get_current_losses() if name.startswith("gamma_")]
    assert gammas == ["gamma_G_8", "gamma_G_16", "gamma_D_4"]
    without = make(train_opt, "sagan", "--attn_res", "none", "--n_classes", 0)
    without.optimize_parameters(random_batch("latent"))  # its labels are ignored
    assert not {"attn_G", "attn_D"} & set(without.get_current_visuals()) and without.label is None
    assert not any("embed" in key for key in without.nets["D"].state_dict())


@pytest.mark.parametrize("value", ["", "0.5", "0.5,0.5;", "1,0", "-0.1,0", "a,b"])
def test_malformed_points_are_refused(value: str) -> None:
    with refused("--attn_points", *value.split()):
        query_points(value)


@pytest.mark.parametrize(
    ("value", "sides"), [("16,32", (16, 32)), ("none", ()), ("auto", (8,)), (None, (8,))]
)
def test_resolutions_are_parsed(value: str | None, sides: tuple) -> None:
    assert resolutions(value, default=(8,)) == sides


def trained_and_tested(
    train_opt: OptionMaker, test_opt: OptionMaker, *words: object
) -> tuple[LatentModel, LatentModel]:
    """A trained dcgan, and the same model as test.py loads it."""
    model = make(train_opt, "dcgan", "--ema_decay", 0.9)
    for step in range(3):
        model.optimize_parameters(random_batch("latent", seed=step))
    model.save_networks("latest")
    opt = model.opt
    size = ("--ngf", opt.ngf, "--crop_size", opt.crop_size)
    tested = create_model(test_opt("--model", "dcgan", *size, *words))
    tested.load_networks("latest")
    assert isinstance(tested, LatentModel)
    return model, tested


def test_test_time_needs_no_data_and_uses_averaged_weights_and_stored_statistics(
    train_opt: OptionMaker, test_opt: OptionMaker
) -> None:
    model, tested = trained_and_tested(train_opt, test_opt)
    assert tested.opt.dataset_mode == "noise" and tested.opt.eval and "D" not in tested.nets
    shadow = model.ema.shadows["G"].state_dict()
    assert all(torch.equal(shadow[key], value) for key, value in tested.nets["G"].state_dict().items())
    z = torch.randn(5, 100)
    together = tested.test({"z": z})["fake"]
    alone = tested.test({"z": z[2:3]})["fake"]
    assert torch.allclose(together[2:3], alone, atol=1e-6)
    assert set(tested.test(random_batch("latent"))) == {"real", "fake"}


def test_standing_statistics_belong_to_the_loaded_weights(
    train_opt: OptionMaker, test_opt: OptionMaker
) -> None:
    _, stored = trained_and_tested(train_opt, test_opt)
    _, measured = trained_and_tested(train_opt, test_opt, "--standing_stats", 8)
    norm, before = measured.nets["G"].main[4], stored.nets["G"].main[4]
    assert not torch.allclose(norm.running_mean, before.running_mean)
    inputs = []
    norm.register_forward_hook(lambda net, args, output: inputs.append(args[0]))
    measured.test({"z": torch.randn(2000, 100)})
    actual = inputs[0].mean((0, 2, 3))
    error_of_stored, error = ((actual - each.running_mean).abs().mean() for each in (before, norm))
    assert error < 0.2 * error_of_stored
    assert not norm.training


def test_standing_statistics_do_not_depend_on_the_batch_size(
    train_opt: OptionMaker, test_opt: OptionMaker
) -> None:
    models = [
        trained_and_tested(train_opt, test_opt, "--standing_stats", 2, "--batch_size", size)[1]
        for size in (1, 7)
    ]
    assert torch.equal(models[0].nets["G"].main[1].running_var, models[1].nets["G"].main[1].running_var)


def test_sheets_are_shown_in_training_on_request(train_opt: OptionMaker) -> None:
    """They come from fixed seeds, and leave the random numbers and the weights of the training as they are."""
    names = ["classes", "interpolate_z", "interpolate_label", "interpolate_both"]
    shown, weights = [], []
    for words in ([], ["--show_sheets", ",".join(names)]):
        model = make(train_opt, "cgan", "--ema_decay", 0.5, *words)
        for step in range(2):
            model.optimize_parameters(random_batch("latent", seed=step))
            shown.append(model.get_current_visuals())
        weights.append([*model.nets.parameters()])
    assert all(map(torch.equal, *weights))
    assert not set(names) & shown[0].keys() and set(names) <= shown[2].keys()
    side = 8 * 32 + 7 * 2
    assert all(shown[2][name].shape == (1, 3, side, side) for name in names[1:])
    assert torch.equal(shown[2]["classes"], shown[2]["samples"])
    first_row = shown[3]["interpolate_z"][..., :32, :]  # from one seed to another, in one class
    averaged = model.generate({"z": model.panel["z"][:2], "label": torch.tensor([0, 0])})
    assert torch.allclose(first_row[0, :, :, :32], averaged[0], atol=1e-6)
    assert torch.allclose(first_row[0, :, :, -32:], averaged[1], atol=1e-6)


def test_unsuitable_sheets_are_refused(train_opt: OptionMaker) -> None:
    with refused("--show_sheets truncation", "interpolate_z"):
        train_opt("--model", "dcgan", "--show_sheets", "truncation")
    with refused("--show_sheets classes"):
        train_opt("--model", "dcgan", "--show_sheets", "interpolate_z,classes")
