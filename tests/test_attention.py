"""Self-attention against a loop over positions, its identity at the start, and its places in nets."""

import pytest
import torch
from conftest import refused

from models import networks
from models.networks import SelfAttention2d
from util.imaging.attention_overlay import heat, overlay


def attention(channels: int = 16, *, pooled: bool, gamma: float = 0.7) -> SelfAttention2d:
    torch.manual_seed(1)
    module = SelfAttention2d(channels, pooled=pooled)
    torch.nn.init.constant_(module.gamma, gamma)
    return module


def by_loop(module: SelfAttention2d, x: torch.Tensor) -> torch.Tensor:
    """Position by position, straight from the paper (plain form, one image)."""
    query, key, value = (layer(x)[0].flatten(1) for layer in (module.query, module.key, module.value))
    mixed = torch.zeros_like(value)
    for j in range(query.shape[1]):
        weights = torch.softmax(torch.stack([query[:, j] @ key[:, i] for i in range(key.shape[1])]), 0)
        mixed[:, j] = sum(weights[i] * value[:, i] for i in range(key.shape[1]))
    return x + module.gamma * mixed.view_as(x)


def test_plain_form_equals_a_loop_over_positions() -> None:
    module, x = attention(pooled=False), torch.randn(1, 16, 3, 4)
    assert torch.allclose(module(x), by_loop(module, x), atol=1e-5)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_fused_and_explicit_paths_agree(pooled: bool, size: tuple[int, int]) -> None:
    module, x = attention(pooled=pooled), torch.randn(2, 16, *size)
    output, weights = module.explicit(x)
    assert torch.allclose(module(x), output, atol=1e-5)
    assert torch.allclose(weights.sum((-1, -2)), torch.ones(2, *size), atol=1e-5)


def test_pooled_form_has_a_quarter_of_the_keys() -> None:
    _, weights = attention(pooled=True).explicit(torch.randn(1, 16, 8, 8))
    assert weights.shape == (1, 8, 8, 4, 4)
    _, weights = attention(pooled=True).explicit(torch.randn(1, 16, 5, 7))
    assert weights.shape == (1, 5, 7, 3, 4)


def test_rows_are_rows_of_the_map() -> None:
    module, x = attention(pooled=True), torch.randn(2, 16, 8, 6)
    _, weights = module.explicit(x)
    rows = module.rows(x, [(0.5, 0.5), (0.99, 0.0)])
    assert torch.allclose(rows[:, 0], weights[:, 4, 3], atol=1e-6)
    assert torch.allclose(rows[:, 1], weights[:, 7, 0], atol=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
def test_it_starts_as_the_identity_with_gamma_alone_learning(pooled: bool) -> None:
    module, x = attention(pooled=pooled, gamma=0.0), torch.randn(2, 16, 6, 6)
    y = module(x)
    assert torch.equal(y, x)
    (y * torch.randn_like(y)).sum().backward()
    assert module.gamma.grad is not None and module.gamma.grad.abs() > 0
    for layer in (module.query, module.key, module.value):
        assert layer.weight.grad is not None and layer.weight.grad.abs().max() == 0


@pytest.mark.parametrize(
    ("channels", "pooled", "parameters"),
    [
        (64, False, 5_201),
        (64, True, 5_121),
        (128, False, 20_641),
        (256, False, 82_241),
        (512, False, 328_321),
    ],
)
def test_parameter_counts(channels: int, pooled: bool, parameters: int) -> None:
    assert sum(p.numel() for p in SelfAttention2d(channels, pooled=pooled).parameters()) == parameters


def test_large_logits_survive_bf16_autocast() -> None:
    module, x = attention(pooled=False), torch.randn(1, 16, 4, 4) * 60
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, (explicit, weights) = module(x), module.explicit(x)
    assert weights.dtype == torch.float32
    assert torch.isfinite(y).all() and torch.isfinite(explicit).all()


def test_too_few_channels_are_refused() -> None:
    with refused(4, 8, error=ValueError):
        SelfAttention2d(4)


def test_attention_shifts_no_key_and_no_random_number() -> None:
    torch.manual_seed(0)
    plain, after_plain = networks.define_G(3, 3, 8, "resnet_6blocks"), torch.rand(3)
    torch.manual_seed(0)
    net = networks.add_attention(networks.define_G(3, 3, 8, "resnet_6blocks"), ["down", "mid", "trunk"])
    assert torch.equal(after_plain, torch.rand(3))
    state = net.state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.state_dict().items())
    new = {key.split(".")[1] for key in state.keys() - plain.state_dict().keys()}
    assert new == {"down", "mid", "trunk"}
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(net(x), plain(x))


@pytest.mark.parametrize(
    ("tap", "stride"), {"down": 2, "mid": 4, "trunk": 4, "stride4": 4, "stride8": 8}.items()
)
def test_places_have_the_stated_stride(tap: str, stride: int) -> None:
    kind = (
        networks.define_D(3, 8, "basic")
        if tap[-1].isdigit()
        else networks.define_G(3, 3, 8, "resnet_6blocks")
    )
    net = networks.add_attention(kind, [tap], pooled=False)
    rows = networks.attention_rows(net, tap, [torch.randn(1, 3, 64, 48)], [(0.5, 0.0)])
    assert rows.shape == (1, 1, 64 // stride, 48 // stride)


def test_looking_at_the_map_leaves_the_net_as_it_was() -> None:
    net = networks.add_attention(networks.define_G(3, 3, 8, "resnet_6blocks", "batch"), ["trunk"])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    networks.attention_rows(net, "trunk", [torch.randn(1, 3, 16, 16)], [(0.5, 0.5)])
    assert net.training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_heat_runs_from_dark_to_light() -> None:
    colours = heat(torch.tensor([[[0.0, 1.0], [2.0, 4.0]]]))
    assert colours.shape == (1, 3, 2, 2)
    brightness = colours.mean(1)[0]
    assert brightness[0, 0] < brightness[0, 1] < brightness[1, 0] < brightness[1, 1]


def test_overlay_shows_each_query_side_by_side_and_marks_it() -> None:
    rows = torch.zeros(1, 2, 4, 4)
    rows[0, 0, 0, 0] = rows[0, 1, 3, 3] = 1.0
    picture = overlay(torch.zeros(1, 3, 32, 32), rows, [(0.5, 0.5), (0.25, 0.75)])
    assert picture.shape == (1, 3, 32, 64)
    left, right = picture[0, :, :, :32].mean(0), picture[0, :, :, 32:].mean(0)
    assert left[1, 1] > left[30, 30] and right[30, 30] > right[1, 1]
    assert picture[0, 1, 16, 16] == 1.0 and picture[0, 1, 8, 32 + 24] == 1.0
    assert overlay(torch.zeros(2, 1, 8, 8), torch.rand(2, 1, 4, 4), [(0.5, 0.5)]).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("pooled", [False, True])
def test_training_saves_nothing_of_the_size_of_a_map(pooled: bool) -> None:
    module, x = attention(32, pooled=pooled), torch.randn(2, 32, 32, 32, requires_grad=True)
    sizes: list[int] = []

    def keep(saved: torch.Tensor) -> torch.Tensor:
        sizes.append(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        module(x).sum().backward()
    assert max(sizes) <= x.numel() < 32**4 // 4


def test_the_log_tells_what_a_map_would_take() -> None:
    net = networks.add_attention(networks.define_G(3, 3, 8, "resnet_6blocks"), ["trunk"], pooled=False)
    (line,) = net.describe(256)
    assert "attention at trunk, 4096 x 4096 places" in line and "64.0 MiB" in line
    assert net.describe(None) == ["attention at trunk"]
