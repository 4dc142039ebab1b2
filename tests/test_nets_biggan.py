"""BigGAN's nets: the published tables, how class and noise come in, and what they refuse.

test_import_biggan compares the order of the layers with the published code.
"""

import pytest
import torch
import torch.nn.functional as F
from conftest import refused
from torch import Tensor, nn

from models.nets.biggan import (
    SIZES,
    BigGANDiscriminator,
    BigGANGenerator,
    DBlock,
    default_attention,
)
from models.nets.conditional import ClassEmbedding, ConditionalNorm
from models.nets.layers import NORMS, apply_spectral_norm

BATCH = NORMS["batch"]
# size -> (side, width in units of ngf) after each block, then the same of the discriminator
G_ROWS = {
    32: [(8, 4), (16, 4), (32, 4)],
    64: [(8, 16), (16, 8), (32, 4), (64, 2)],
    128: [(8, 16), (16, 8), (32, 4), (64, 2), (128, 1)],
    256: [(8, 16), (16, 8), (32, 8), (64, 4), (128, 2), (256, 1)],
}
D_ROWS = {
    32: [(16, 4), (8, 4), (8, 4), (8, 4)],
    64: [(32, 1), (16, 2), (8, 4), (4, 8), (4, 16)],
    128: [(64, 1), (32, 2), (16, 4), (8, 8), (4, 16), (4, 16)],
    256: [(128, 1), (64, 2), (32, 4), (16, 8), (8, 8), (4, 16), (4, 16)],
}


def generator(size: int = 32, **changes: object) -> BigGANGenerator:
    """A narrow one; at 32 px z has 4 chunks of 2."""
    chunks = len(G_ROWS.get(size, [])) + 1
    given = {"z_dim": 2 * chunks, "output_nc": 3, "ngf": 4, "size": size, "norm": BATCH, "n_classes": 5}
    given |= {"attn_res": (), "hierarchical": True, "shared_dim": 6}
    return BigGANGenerator(**(given | changes))


def discriminator(size: int = 32, **changes: object) -> BigGANDiscriminator:
    given = {"input_nc": 3, "ndf": 8, "size": size, "n_classes": 5, "attn_res": ()}
    return BigGANDiscriminator(**(given | changes))


def whole_z(size: int = 32, **changes: object) -> BigGANGenerator:
    """Whole z, and an embedding a norm."""
    return generator(size, hierarchical=False, shared_dim=0, **changes)


def outputs(net: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """What each block makes of the inputs."""
    seen: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda module, given, made: seen.append(made)) for block in net.blocks
    ]
    with torch.no_grad():
        net(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("size", SIZES)
def test_rows_of_the_published_tables(size: int) -> None:
    on_G, on_D = default_attention(size)
    G, D, label = generator(size, attn_res=on_G), discriminator(size, attn_res=on_D), torch.tensor([3])
    made = outputs(G, torch.randn(1, 2 * (len(G.blocks) + 1)), label)
    assert [one.shape[1:] for one in made] == [(4 * width, side, side) for side, width in G_ROWS[size]]
    assert G.linear.out_features == {32: 4, 64: 16, 128: 16, 256: 16}[size] * 4 * 4 * 4
    made = outputs(D, torch.rand(1, 3, size, size), label)
    assert [one.shape[1:] for one in made] == [(8 * width, side, side) for side, width in D_ROWS[size]]


def test_blocks_do_not_change_their_input() -> None:
    x = torch.randn(2, 4, 8, 8)
    kept = x.clone()
    block = DBlock(4, 4, first=False, halve=False)
    made = block(x)
    assert torch.equal(x, kept) and x.min() < 0
    torch.testing.assert_close(made - block.conv2(block.conv1(kept.relu()).relu()), kept)


def test_conditional_norm_is_one_plus_gain_without_biases() -> None:
    norm = generator().blocks[1].bn2
    assert isinstance(norm, ConditionalNorm)
    assert norm.norm.eps == 1e-5 and norm.norm.momentum == 0.1 and not norm.norm.affine
    assert norm.gain.bias is None and norm.bias.bias is None
    assert norm.gain.in_features == 6 + 2
    x, condition = torch.randn(4, 16, 3, 3), torch.randn(4, 8)
    gain, bias = (part(condition)[:, :, None, None] for part in (norm.gain, norm.bias))
    expected = F.batch_norm(x, None, None, training=True) * (1 + gain) + bias
    torch.testing.assert_close(norm(x, condition), expected)


def test_each_chunk_of_z_reaches_its_own_block_first() -> None:
    net, label = generator().eval(), torch.tensor([2])
    z = torch.randn(1, 8)
    before = outputs(net, z, label)
    for chunk in range(1, 4):
        changed = z.clone()
        changed[:, 2 * chunk : 2 * chunk + 2] += 1
        same = [torch.equal(*pair) for pair in zip(before, outputs(net, changed, label), strict=True)]
        assert same == [True] * (chunk - 1) + [False] * (4 - chunk)
    assert net.linear.in_features == 2


def test_each_norm_has_its_own_embedding_without_a_shared_one() -> None:
    net = whole_z()
    kinds = [type(part) for block in net.blocks for part in (block.bn1.gain, block.bn2.bias)]
    assert kinds == [ClassEmbedding] * 6
    assert net.linear.in_features == 8 and not list(net.shared.parameters())
    assert sum(isinstance(module, ClassEmbedding) for module in net.modules()) == 12


def test_shared_embedding_alone_feeds_the_norms_of_a_whole_z() -> None:
    net = generator(hierarchical=False)
    assert net.blocks[0].bn1.gain.in_features == 6 and net.linear.in_features == 8
    assert net(torch.randn(2, 8), torch.tensor([0, 1])).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("shared_dim", [0, 6])
def test_without_classes_norms_see_noise_or_have_weights_of_their_own(shared_dim: int) -> None:
    split = generator(n_classes=0, shared_dim=shared_dim)
    assert split.blocks[0].bn1.gain.in_features == 2
    whole = generator(n_classes=0, shared_dim=shared_dim, hierarchical=False)
    assert all(norm.affine for block in whole.blocks for norm in (block.bn1, block.bn2))
    for net in (split, whole):
        assert not any(isinstance(module, nn.Embedding) for module in net.modules())
        assert net(torch.randn(2, 8)).shape == (2, 3, 32, 32)
    D = discriminator(n_classes=0)
    assert D.embed is None and D(torch.randn(2, 3, 32, 32)).shape == (2,)


def test_attention_follows_the_block_that_makes_its_resolution_once() -> None:
    G = generator(attn_res=(8, 32))
    D = discriminator(attn_res=(8,))  # three blocks end there
    assert list(G.attention) == ["8", "32"] and list(D.attention) == ["8"]
    seen: list[tuple[int, ...]] = []
    for net in (G, D):
        for module in net.attention.values():
            assert module.pooled
            module.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[1:]))
    D(G(torch.randn(2, 8), torch.tensor([0, 1])), torch.tensor([0, 1]))
    assert seen == [(16, 8, 8), (16, 32, 32), (32, 8, 8)]


def test_layers_of_spectral_norm() -> None:
    G, D = generator(attn_res=(8,)), discriminator(attn_res=(8,))
    # linear; 3 convolutions and 4 linear layers of norms a block; 4 of attention; the output
    assert len(G.spectral_layers()) == 1 + 3 * (3 + 4) + 4 + 1
    assert not any(isinstance(layer, nn.Embedding) for layer in G.spectral_layers())
    assert len(D.spectral_layers()) == 3 + 3 + 2 + 2 + 4 + 1 + 1
    assert D.embed in D.spectral_layers()
    apply_spectral_norm(D, D.spectral_layers())
    assert D.embed.parametrizations.weight[0]._u.shape == (5,)  # a class a row
    assert not hasattr(whole_z(), "embed")
    assert len(whole_z().spectral_layers()) == 1 + 3 * 3 + 1


@pytest.mark.parametrize(("z_dim", "fitting"), [(128, "126 or 120"), (121, "120"), (2, "6 or 120")])
def test_a_z_that_cannot_be_split_is_refused_with_one_that_can(z_dim: int, fitting: str) -> None:
    with refused(f"--z_dim {z_dim}", f"--z_dim {fitting}", error=ValueError):
        generator(128, z_dim=z_dim)
    assert generator(128, z_dim=120).linear.in_features == 20


def test_a_split_z_needs_a_shared_embedding() -> None:
    with refused("--shared_dim 128", "--hierarchical false", error=ValueError):
        generator(shared_dim=0)
