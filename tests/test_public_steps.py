"""Training steps as public code of SAGAN and BigGAN makes them, against small loops written by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import OptionMaker, random_batch, refused
from torch import Tensor, nn

from models import create_model, networks
from models.latent_model import LatentModel
from models.nets.layers import SpectralNorm
from models.training.ema import EMA
from util.run import weights

PUBLIC = "--n_critic 2 --critic_first --fresh_fakes --split_D --sn_update forward --sn_rows in".split()
ORIGINAL = "parametrizations.weight.original"


def make(train_opt: OptionMaker, name: str, *words: object) -> LatentModel:
    torch.manual_seed(0)
    model = create_model(train_opt("--model", name, *words))
    assert isinstance(model, LatentModel)
    return model


@pytest.fixture
def float64() -> Iterator[None]:
    """Adam divides by the gradient's size, which multiplies rounding errors."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class ByHand:
    """A net without parametrizations, its weights, the vectors u of spectral norm, and Adam."""

    def __init__(self, net: nn.Module, normalised: nn.Module, lr: float) -> None:
        self.net = net
        self.weights = {
            name.replace(ORIGINAL, "weight"): value.detach().clone().requires_grad_()
            for name, value in normalised.named_parameters()
        }
        ending = ".parametrizations.weight.0._u"
        state = normalised.state_dict()
        self.u = {key.removesuffix(ending): state[key] for key in state if key.endswith(ending)}
        self.adam = torch.optim.Adam(self.weights.values(), lr=lr, betas=(0.0, 0.9))

    def __call__(self, x: Tensor) -> Tensor:
        """A forward pass, with one power iteration for each layer: v <- W^T u, u <- W v, W / (u W v)."""
        divided = dict(self.weights)
        for layer, u in self.u.items():
            matrix = self.weights[f"{layer}.weight"].flatten(1)
            with torch.no_grad():
                v = F.normalize(matrix.T @ u, dim=0)
                self.u[layer] = F.normalize(matrix @ v, dim=0)
            divided[f"{layer}.weight"] = self.weights[f"{layer}.weight"] / (self.u[layer] @ matrix @ v)
        return torch.func.functional_call(self.net, divided, (x,))

    def minimise(self, loss: Tensor) -> None:
        self.adam.zero_grad()
        loss.backward(inputs=list(self.weights.values()))
        self.adam.step()


def test_steps_equal_those_of_public_code(float64: None, train_opt: OptionMaker) -> None:
    """D D G, new noise for every update and one power iteration in every forward pass, with the hinge loss."""
    common = ["--norm", "instance", "--n_classes", 0, "--ema_decay", 0]
    model = make(train_opt, "sagan", *common, *PUBLIC)
    plain = make(train_opt, "sagan", *common, "--sn_scope", "none")
    G, D = (ByHand(plain.nets[name], model.nets[name], lr) for name, lr in (("G", 1e-4), ("D", 4e-4)))
    start = [value.detach().clone() for value in G.weights.values()]
    batches = [random_batch("latent", size=2, seed=seed) for seed in range(4)]
    torch.manual_seed(1)
    for batch in batches:
        model.optimize_parameters({"image": batch["image"].double()})
    torch.manual_seed(1)
    for step, batch in enumerate(batches):
        fake = G(torch.randn(2, 128)).detach()
        D.minimise(F.relu(1 - D(batch["image"].double())).mean() + F.relu(1 + D(fake)).mean())
        if step % 2 == 1:
            G.minimise(-D(G(torch.randn(2, 128))).mean())
    assert all(
        (a - b).abs().max() > 1e-5 for a, b in zip(start, G.weights.values(), strict=True) if a.ndim > 1
    )
    for net, by_hand in (("G", G), ("D", D)):
        for name, value in model.nets[net].named_parameters():
            found = by_hand.weights[name.replace(ORIGINAL, "weight")]
            torch.testing.assert_close(value, found, rtol=0, atol=1e-9)


def test_the_generator_can_learn_in_the_last_of_the_steps(train_opt: OptionMaker) -> None:
    model, moved = make(train_opt, "dcgan", "--n_critic", 3, "--critic_first"), []
    for step in range(6):
        before = [parameter.detach().clone() for parameter in model.nets["G"].parameters()]
        model.optimize_parameters(random_batch("latent", seed=step))
        moved.append(not all(map(torch.equal, before, model.nets["G"].parameters())))
    assert moved == [False, False, True] * 2


def test_fresh_fakes_are_new_for_the_generator(train_opt: OptionMaker) -> None:
    judged: dict[bool, list[Tensor]] = {}
    for fresh in (False, True):
        model = make(train_opt, "dcgan", "--fresh_fakes", fresh)
        judged[fresh] = []
        hook = lambda net, inputs, seen=judged[fresh]: seen.append(inputs[0].detach())  # noqa: E731
        model.nets["D"].register_forward_pre_hook(hook)
        model.optimize_parameters(random_batch("latent"))
    (_, fake, again), (_, first, second) = judged[False], judged[True]
    assert torch.equal(fake, again) and torch.equal(fake, first) and not torch.equal(first, second)


@pytest.mark.parametrize("split", [False, True])
def test_split_D_judges_real_and_fake_images_apart(train_opt: OptionMaker, split: bool) -> None:
    model, sizes = make(train_opt, "sagan", "--n_classes", 0, "--split_D", split), []
    model.nets["D"].register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    model.optimize_parameters(random_batch("latent"))
    assert sizes == ([4, 4, 4] if split else [8, 4])  # the last pass is that of the generator's phase
    losses = model.get_current_losses()
    other = make(train_opt, "sagan", "--n_classes", 0, "--split_D", not split)
    other.optimize_parameters(random_batch("latent"))
    assert losses == pytest.approx(other.get_current_losses(), abs=1e-5)


# ---------------------------------------------------------------------- accumulation and averages


def test_each_net_has_its_own_accumulation(float64: None, train_opt: OptionMaker) -> None:
    """Without batch norm the parts give the gradient of the whole batch; z comes with the batch."""
    z = torch.randn(4, 100, generator=torch.Generator().manual_seed(0))
    batch = {"image": random_batch("latent")["image"].double(), "z": z}
    nets, sizes = [], []
    for words in ([], ["--accumulate_D", 4, "--accumulate_G", 2]):
        model = make(train_opt, "dcgan", "--norm", "instance", "--batch_size", 4, *words)
        model.nets["G"].register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
        model.optimize_parameters(batch)
        nets.append(model.nets)
    assert sizes == [4, 1, 1, 1, 1, 2, 2]
    gradients = [[p.grad for p in net.parameters()] for net in nets]
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-6, atol=1e-12)


def test_one_flag_of_accumulation_leaves_the_other_net_alone(train_opt: OptionMaker) -> None:
    model, sizes = make(train_opt, "dcgan", "--batch_size", 4, "--accumulate", 2, "--accumulate_G", 1), []
    model.nets["G"].register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    model.optimize_parameters(random_batch("latent"))
    assert sizes == [2, 2, 4]
    with refused("--accumulate_D 3", "--batch_size 4"):
        train_opt("--model", "dcgan", "--batch_size", 4, "--accumulate_D", 3)


def test_averaging_starts_when_asked() -> None:
    """The average copies the weights before update 3, and then has the full decay."""
    net = nn.Linear(1, 1)
    ema, found = EMA(0.9, start=3), []
    ema.track("net", net)
    for value in range(1, 6):
        nn.init.constant_(net.weight, float(value))
        ema.update(nn.ModuleDict({"net": net}))
        found.append(ema.shadows["net"].weight.item())
    third = 0.9 * 2 + 0.1 * 3
    fourth = 0.9 * third + 0.1 * 4
    assert found == pytest.approx([1, 2, third, fourth, 0.9 * fourth + 0.1 * 5])


def test_the_start_of_averaging_needs_an_average(train_opt: OptionMaker) -> None:
    with refused("--ema_start", 5):
        make(train_opt, "dcgan", "--ema_start", 5).check_flags()
    model = make(train_opt, "dcgan", "--ema_decay", 0.5, "--ema_start", 5)
    model.check_flags()
    model.optimize_parameters(random_batch("latent"))
    for shadow, live in zip(model.ema.shadows["G"].parameters(), model.nets["G"].parameters(), strict=True):
        assert torch.equal(shadow, live)


# ---------------------------------------------------------------------- singular values


def test_an_update_computes_u_before_v() -> None:
    torch.manual_seed(0)
    layer = networks.apply_spectral_norm(nn.Linear(5, 4))
    weight, norm = layer.parametrizations.weight.original, layer.parametrizations.weight[0]
    u = F.normalize(weight @ norm._v, dim=0)
    v = F.normalize(weight.T @ u, dim=0)
    norm.before_update(weight)
    torch.testing.assert_close((norm._u, norm._v), (u, v))


def tracked(per_forward: bool) -> tuple[nn.Module, SpectralNorm]:
    torch.manual_seed(0)
    layer = networks.apply_spectral_norm(nn.Conv2d(6, 5, 3), per_forward=per_forward, num_svs=3)
    return layer, layer.parametrizations.weight[0]


@pytest.mark.parametrize("per_forward", [False, True])
def test_the_largest_singular_values_are_found(per_forward: bool) -> None:
    layer, norm = tracked(per_forward)
    weight = layer.parametrizations.weight.original
    for _ in range(500):
        norm.iterate(weight)
    torch.testing.assert_close(norm.singular_values, torch.linalg.svdvals(weight.flatten(1))[:3])


def test_further_singular_vectors_are_those_of_a_loop_by_hand() -> None:
    """BigGAN-PyTorch's: for each value v <- W^T u, u <- W v, each minus its projections on the earlier ones."""
    layer, norm = tracked(per_forward=True)
    matrix = layer.parametrizations.weight.original.detach().flatten(1)
    us = [norm._u.clone(), *norm._further_u.clone()]
    for _ in range(3):
        vs: list[Tensor] = []
        for index, u in enumerate(us):
            v = matrix.T @ u
            for other in vs:
                v = v - (v @ other) / (other @ other) * other
            vs.append(v / v.norm())
            u = matrix @ vs[-1]
            for other in us[:index]:
                u = u - (u @ other) / (other @ other) * other
            us[index] = u / u.norm()
        layer(torch.zeros(1, 6, 3, 3))
    values = torch.stack([u @ matrix @ v for u, v in zip(us, vs, strict=True)])
    torch.testing.assert_close(norm.singular_values, values)
    torch.testing.assert_close(torch.stack([norm._u, *norm._further_u]), torch.stack(us))


def test_iterations_are_made_by_forward_passes_in_training_alone() -> None:
    layer, norm = tracked(per_forward=True)
    seen = [norm._u.clone()]
    for change in (layer.eval, layer.train):
        change()
        norm.before_update(layer.parametrizations.weight.original)
        layer(torch.zeros(1, 6, 3, 3))
        seen.append(norm._u.clone())
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


def test_vectors_follow_weights_of_a_net_without_spectral_norm(tmp_path: Path) -> None:
    """--init_from with --sn_update forward: the first pass divides by the singular value of the new weights."""
    torch.manual_seed(0)
    plain, path = nn.Linear(5, 4), tmp_path / "latest_net_G.pth"
    torch.save(plain.state_dict(), path)
    net = networks.apply_spectral_norm(nn.Linear(5, 4), per_forward=True).eval()
    weights.load_shared(net, path)
    assert torch.linalg.svdvals(net.weight)[0].item() == pytest.approx(1, abs=1e-3)


def test_logging_singular_values_changes_no_weight(train_opt: OptionMaker) -> None:
    models = [make(train_opt, "biggan", "--num_SVs", count) for count in (0, 2)]
    for model in models:
        torch.manual_seed(1)
        for step in range(2):
            model.optimize_parameters(random_batch("latent", seed=step))
    for name, value in models[0].nets.named_parameters():
        assert torch.equal(value, models[1].nets.get_parameter(name))
    without, logged = (model.get_current_losses() for model in models)
    values = logged.keys() - without.keys()
    assert {"sv0_G_linear", "sv1_G_blocks_0_conv1", "sv0_D_embed"} <= values
    for name in values:
        if name.startswith("sv1"):
            assert 0 <= logged[name] <= 1.01 * logged[name.replace("sv1", "sv0")]
    assert "sv1_D_linear" not in values  # a matrix of one row
    assert set(models[0].state_dict()["nets"]) < set(models[1].state_dict()["nets"])


def test_flags_of_spectral_norm_need_it(train_opt: OptionMaker) -> None:
    for flag, value in (("--num_SVs", 2), ("--sn_update", "forward")):
        with refused(flag, "--sn_scope none"):
            train_opt("--model", "sagan", "--sn_scope", "none", flag, value)
