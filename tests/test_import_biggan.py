"""The importer of BigGAN weights against the source's layout, rebuilt here from its published facts.

No original checkpoint is at hand: keys and shapes are those of the source's nets, the numbers are random.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.imports.biggan import options, translate
from models.nets.biggan import BigGANDiscriminator, BigGANGenerator
from models.nets.layers import NORMS, apply_spectral_norm
from util.errors import UserError

# images of a side -> widths in units of ch, and in D how many blocks halve
G_WIDTHS = {32: [4, 4, 4, 4], 64: [16, 16, 8, 4, 2], 128: [16, 16, 8, 4, 2, 1]}
D_WIDTHS = {32: ([4, 4, 4, 4], 2), 64: ([1, 2, 4, 8, 16], 4), 128: ([1, 2, 4, 8, 16, 16], 5)}
Shapes = dict[str, tuple[int, ...]]

# ---------------------------------------------------------------------- what the source saves, written out


def layer(name: str, *shape: int, bias: bool = True) -> Shapes:
    made: Shapes = {f"{name}.weight": shape, f"{name}.u0": (1, shape[0]), f"{name}.sv0": (1,)}
    return made | ({f"{name}.bias": shape[:1]} if bias else {})


def convolutions(block: str, before: int, after: int, shortcut: bool) -> Shapes:
    made = layer(f"{block}.conv1", after, before, 3, 3) | layer(f"{block}.conv2", after, after, 3, 3)
    return made | (layer(f"{block}.conv_sc", after, before, 1, 1) if shortcut else {})


def attention(place: str, width: int) -> Shapes:
    made: Shapes = {f"{place}.gamma": ()}
    for name, out, into in (("theta", 8, 1), ("phi", 8, 1), ("g", 2, 1), ("o", 1, 2)):
        made |= layer(f"{place}.{name}", width // out, width // into, 1, 1, bias=False)
    return made


def statistics(name: str, width: int) -> Shapes:
    return {f"{name}.stored_mean": (width,), f"{name}.stored_var": (width,)}


def output_layer(width: int) -> Shapes:
    own: Shapes = {"output_layer.0.gain": (width,), "output_layer.0.bias": (width,)}
    return own | statistics("output_layer.0", width) | layer("output_layer.2", 3, width, 3, 3)


def published_imagenet_G() -> Shapes:
    made: Shapes = {"shared.weight": (1000, 128)} | layer("linear", 24576, 20) | output_layer(96)
    for index, (before, after) in enumerate(pairwise([1536, 1536, 768, 384, 192, 96])):
        made |= convolutions(f"blocks.{index}.0", before, after, shortcut=True)
        for norm, width in (("bn1", before), ("bn2", after)):
            made |= statistics(f"blocks.{index}.0.{norm}", width)
            for part in ("gain", "bias"):
                made |= layer(f"blocks.{index}.0.{norm}.{part}", width, 148, bias=False)
    return made | attention("blocks.3.1", 192)


def published_imagenet_D() -> Shapes:
    made = layer("linear", 1, 1536) | layer("embed", 1000, 1536, bias=False) | attention("blocks.0.1", 96)
    for index, (before, after) in enumerate(pairwise([3, 96, 192, 384, 768, 1536, 1536])):
        made |= convolutions(f"blocks.{index}.0", before, after, shortcut=index < 5)
    return made


def published_cifar_G() -> Shapes:
    made = layer("linear", 4096, 128) | output_layer(256)
    for index in range(3):
        made |= convolutions(f"blocks.{index}.0", 256, 256, shortcut=True)
        for norm in ("bn1", "bn2"):
            made |= statistics(f"blocks.{index}.0.{norm}", 256)
            made |= {f"blocks.{index}.0.{norm}.{part}.weight": (10, 256) for part in ("gain", "bias")}
    return made


def published_cifar_D() -> Shapes:
    made = layer("linear", 1, 256) | layer("embed", 10, 256, bias=False)
    for index in range(4):
        made |= convolutions(f"blocks.{index}.0", 256 if index else 3, 256, shortcut=index < 2)
    return made


# ---------------------------------------------------------------------- the source's nets, rebuilt


class Normalised(nn.Module):
    """A weight over its singular value, by one power iteration in every forward, in eval mode, too."""

    def __init__(self, *shape: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(0.1 * torch.randn(shape[0])) if bias else None
        self.register_buffer("u0", torch.randn(1, shape[0]))
        self.register_buffer("sv0", torch.ones(1))

    def divided(self) -> Tensor:
        matrix = self.weight.flatten(1)
        v = F.normalize(self.u0 @ matrix)
        u = F.normalize(v @ matrix.t())
        return self.weight / (v @ matrix.t() @ u.t()).squeeze()


class Conv(Normalised):
    def __init__(self, into: int, out: int, side: int, bias: bool = True) -> None:
        super().__init__(out, into, side, side, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.divided(), self.bias, padding=self.weight.shape[2] // 2)


class Linear(Normalised):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.divided(), self.bias)


class Embedding(Normalised):
    def forward(self, label: Tensor) -> Tensor:
        return self.divided()[label]


class Statistics(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("stored_mean", 0.3 * torch.randn(width))
        self.register_buffer("stored_var", 0.5 + torch.rand(width))

    def centred(self, x: Tensor) -> Tensor:
        mean, var = self.stored_mean[:, None, None], self.stored_var[:, None, None]
        return (x - mean) / (var + 1e-5).sqrt()


class OutputNorm(Statistics):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gain, self.bias = nn.Parameter(1 + 0.2 * torch.randn(width)), nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.centred(x) * self.gain[:, None, None] + self.bias[:, None, None]


class ClassNorm(Statistics):
    def __init__(self, width: int, make: Callable[[int], nn.Module]) -> None:
        super().__init__(width)
        self.gain, self.bias = make(width), make(width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.centred(x) * (1 + self.gain(y)[:, :, None, None]) + self.bias(y)[:, :, None, None]


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.tensor(0.7))
        self.theta, self.phi = (Conv(width, width // 8, 1, bias=False) for _ in range(2))
        self.g, self.o = Conv(width, width // 2, 1, bias=False), Conv(width // 2, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        phi, g = (F.max_pool2d(part, 2).flatten(2) for part in (self.phi(x), self.g(x)))
        beta = (self.theta(x).flatten(2).transpose(1, 2) @ phi).softmax(-1)
        mixed = (g @ beta.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return self.gamma * self.o(mixed) + x


class SourceGBlock(nn.Module):
    def __init__(self, into: int, out: int, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv_sc = Conv(into, out, 3), Conv(out, out, 3), Conv(into, out, 1)
        self.bn1, self.bn2 = ClassNorm(into, make), ClassNorm(out, make)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = F.interpolate(self.bn1(x, y).relu(), scale_factor=2)
        x = F.interpolate(x, scale_factor=2)
        return self.conv2(self.bn2(self.conv1(h), y).relu()) + self.conv_sc(x)


class SourceG(nn.Module):
    def __init__(
        self, size: int, ch: int, classes: int, shared_dim: int = 0, chunk: int = 0, z: int = 0, attn: int = 0
    ) -> None:
        super().__init__()
        widths = [ch * factor for factor in G_WIDTHS[size]]
        self.chunk = chunk
        if shared_dim:
            self.shared = nn.Embedding(classes, shared_dim)

        def make(width: int) -> nn.Module:
            if shared_dim:
                return Linear(width, shared_dim + chunk, bias=False)
            return nn.Embedding(classes, width)

        self.linear = Linear(16 * widths[0], chunk or z)
        self.blocks = nn.ModuleList(
            nn.ModuleList([SourceGBlock(into, out, make)]) for into, out in pairwise(widths)
        )
        for index, block in enumerate(self.blocks):
            if 8 * 2**index == attn:
                block.append(Attention(widths[index + 1]))
        self.output_layer = nn.Sequential(OutputNorm(widths[-1]), nn.ReLU(), Conv(widths[-1], 3, 3))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        y = self.shared(label) if hasattr(self, "shared") else label
        first, *rest = z.split(self.chunk, 1) if self.chunk else [z]
        ys = [torch.cat([y, part], 1) for part in rest] or [y] * len(self.blocks)
        h = self.linear(first).view(len(z), -1, 4, 4)
        for (block, *attention_), y in zip(self.blocks, ys, strict=True):
            h = block(h, y)
            for module in attention_:
                h = module(h)
        return self.output_layer(h).tanh()


class SourceDBlock(nn.Module):
    def __init__(self, into: int, out: int, first: bool, halve: bool) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1, self.conv2 = Conv(into, out, 3), Conv(out, out, 3)
        if into != out or halve:
            self.conv_sc = Conv(into, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        pool = nn.AvgPool2d(2) if self.halve else nn.Identity()
        conv_sc = getattr(self, "conv_sc", nn.Identity())
        h = x if self.first else x.relu()
        shortcut = conv_sc(pool(x)) if self.first else pool(conv_sc(x))
        return pool(self.conv2(self.conv1(h).relu())) + shortcut


class SourceD(nn.Module):
    def __init__(self, size: int, ch: int, classes: int, attn: int = 0) -> None:
        super().__init__()
        factors, halving = D_WIDTHS[size]
        widths = [3, *(ch * factor for factor in factors)]
        self.blocks = nn.ModuleList(
            nn.ModuleList([SourceDBlock(into, out, index == 0, index < halving)])
            for index, (into, out) in enumerate(pairwise(widths))
        )
        for index, block in enumerate(self.blocks):
            if size >> (index + 1) == attn:
                block.append(Attention(widths[index + 1]))
        self.linear, self.embed = Linear(1, widths[-1]), Embedding(classes, widths[-1], bias=False)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        for block in self.blocks:
            for module in block:
                x = module(x)
        h = x.relu().sum((2, 3))
        return (self.linear(h) + (self.embed(label) * h).sum(1, keepdim=True)).squeeze(1)


# name -> the source's two nets, narrow, and what the options must be
SHAPES: dict[str, tuple[Callable[[], SourceG], Callable[[], SourceD], dict[str, str | int]]] = {
    "imagenet": (
        lambda: SourceG(128, 8, classes=5, shared_dim=6, chunk=3, attn=64),
        lambda: SourceD(128, 8, classes=5, attn=64),
        {"crop_size": 128, "z_dim": 18, "ngf": 8, "ndf": 8, "n_classes": 5, "attn_res": "64"}
        | {"attn_res_D": "64", "hierarchical": "true", "shared_dim": 6},
    ),
    "cifar": (
        lambda: SourceG(32, 4, classes=5, z=7),
        lambda: SourceD(32, 3, classes=5),
        {"crop_size": 32, "z_dim": 7, "ngf": 4, "ndf": 3, "n_classes": 5, "attn_res": "none"}
        | {"attn_res_D": "none", "hierarchical": "false", "shared_dim": 0},
    ),
    "whole z, shared embedding": (
        lambda: SourceG(64, 4, classes=5, shared_dim=6, z=7, attn=32),
        lambda: SourceD(64, 4, classes=5, attn=16),
        {"crop_size": 64, "z_dim": 7, "ngf": 4, "ndf": 4, "n_classes": 5, "attn_res": "32"}
        | {"attn_res_D": "16", "hierarchical": "false", "shared_dim": 6},
    ),
}


def own_nets(found: dict, *, spectral: bool = True) -> tuple[BigGANGenerator, BigGANDiscriminator]:
    """Our nets as imported options describe them."""
    on_G, on_D = (() if found[name] == "none" else (int(found[name]),) for name in ("attn_res", "attn_res_D"))
    common = {"size": found["crop_size"], "n_classes": found["n_classes"]}
    G = BigGANGenerator(
        z_dim=found["z_dim"],
        output_nc=found["output_nc"],
        ngf=found["ngf"],
        norm=NORMS[found["norm"]],
        attn_res=on_G,
        hierarchical=found["hierarchical"] == "true",
        shared_dim=found["shared_dim"],
        **common,
    )
    D = BigGANDiscriminator(input_nc=3, ndf=found["ndf"], attn_res=on_D, **common)
    for net in (G, D) if spectral else ():
        apply_spectral_norm(net, net.spectral_layers())
    return G.eval(), D.eval()


# ---------------------------------------------------------------------- keys


def shapes(state: dict[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def on_meta(published: Shapes) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in published.items()}


def test_the_rebuilt_source_has_the_published_keys_and_shapes() -> None:
    with torch.device("meta"):
        assert shapes(SourceG(32, 64, classes=10, z=128).state_dict()) == published_cifar_G()
        assert shapes(SourceD(32, 64, classes=10).state_dict()) == published_cifar_D()
        G = SourceG(128, 96, classes=1000, shared_dim=128, chunk=20, attn=64)
        assert shapes(G.state_dict()) == published_imagenet_G()
        assert shapes(SourceD(128, 96, classes=1000, attn=64).state_dict()) == published_imagenet_D()


@pytest.mark.parametrize("name", ["imagenet", "cifar"])
def test_published_shapes_become_those_of_our_nets(name: str) -> None:
    published = {
        "imagenet": (published_imagenet_G(), published_imagenet_D()),
        "cifar": (published_cifar_G(), published_cifar_D()),
    }[name]
    found = options(*map(on_meta, published))
    with torch.device("meta"):
        nets = own_nets(found, spectral=False)
    for kind, source, net in zip("GD", published, nets, strict=True):
        made = shapes(translate(on_meta(source), kind))
        plain = {key.replace("parametrizations.weight.original", "weight"): made[key] for key in made}
        vectors = {key for key in plain if key.endswith(("._u", "._v"))}
        assert len(vectors) == 2 * sum("u0" in key for key in source)
        assert {key: plain[key] for key in plain.keys() - vectors} == shapes(net.state_dict())


def test_options_of_the_published_nets() -> None:
    common = {"model": "biggan", "output_nc": 3, "norm": "batch"}
    assert options(on_meta(published_imagenet_G()), on_meta(published_imagenet_D())) == common | {
        **{"crop_size": 128, "z_dim": 120, "ngf": 96, "ndf": 96, "n_classes": 1000},
        **{"attn_res": "64", "attn_res_D": "64", "hierarchical": "true", "shared_dim": 128},
    }
    assert options(on_meta(published_cifar_G())) == common | {
        **{"crop_size": 32, "z_dim": 128, "ngf": 64, "n_classes": 10},
        **{"attn_res": "none", "hierarchical": "false", "shared_dim": 0},
    }


# ---------------------------------------------------------------------- outputs


@pytest.mark.parametrize("name", SHAPES)
def test_imported_nets_answer_as_the_source(name: str) -> None:
    torch.manual_seed(0)
    make_G, make_D, expected = SHAPES[name]
    source_G, source_D = make_G().eval(), make_D().eval()
    states = source_G.state_dict(), source_D.state_dict()
    found = options(*states)
    assert found == {"model": "biggan", "output_nc": 3, "norm": "batch"} | expected
    G, D = own_nets(found)
    G.load_state_dict(translate(states[0], "G"))
    D.load_state_dict(translate(states[1], "D"))
    z, label = torch.randn(3, found["z_dim"]), torch.tensor([0, 4, 2])
    with torch.no_grad():
        images = source_G(z, label)
        assert images.std() > 0.1  # or equal images would say little
        torch.testing.assert_close(G(z, label), images, rtol=0, atol=1e-5)
        x = torch.rand(3, 3, found["crop_size"], found["crop_size"]) * 2 - 1
        torch.testing.assert_close(D(x, label), source_D(x, label), rtol=1e-5, atol=1e-5)


def test_vectors_are_those_after_the_source_s_next_iteration() -> None:
    source = SourceD(32, 3, classes=5)
    weight, u = source.linear.weight.detach(), source.linear.u0[0]
    made = translate(source.state_dict(), "D")
    v = F.normalize(u @ weight, dim=0)
    torch.testing.assert_close(made["linear.parametrizations.weight.0._v"], v)
    torch.testing.assert_close(made["linear.parametrizations.weight.0._u"], F.normalize(weight @ v, dim=0))


# ---------------------------------------------------------------------- refusals


def cifar(kind: str) -> dict[str, Tensor]:
    return SHAPES["cifar"][kind == "D"]().state_dict()


@pytest.mark.parametrize("kind", ["G", "D"])
def test_missing_and_unknown_keys_are_named(kind: str) -> None:
    state = cifar(kind)
    del state["blocks.1.0.conv1.bias"]
    with pytest.raises(UserError, match=rf"net {kind} .*\(missing: blocks.1.0.conv1.bias\)"):
        translate(state, kind)
    for name in ("optimizer.lr", "blocks.1.0.conv1.u1", "blocks.2.2.gamma"):
        with pytest.raises(UserError, match=rf"net {kind} .*\(unknown: {name}\)"):
            translate(cifar(kind) | {name: torch.zeros(())}, kind)
    with pytest.raises(UserError, match=r"missing: blocks.0.1.theta.weight, .* and \d more"):
        translate(cifar(kind) | {"blocks.0.1.gamma": torch.zeros(())}, kind)


def test_attention_after_a_block_that_makes_no_new_side_is_unknown() -> None:
    with pytest.raises(UserError, match=r"unknown: blocks\.2\.1\.gamma"):
        translate(cifar("D") | {"blocks.2.1.gamma": torch.zeros(())}, "D")


def test_the_last_singular_values_are_dropped_and_nothing_else() -> None:
    state = cifar("G")
    without = {key: value for key, value in state.items() if not key.endswith(".sv0")}
    assert len(without) < len(state)
    assert translate(without, "G").keys() == translate(state, "G").keys()
    translated, sizes = translate(state, "G"), sum("u0" in key for key in state)
    counters = sum(key.endswith("num_batches_tracked") for key in translated)
    assert counters == 7 and len(translated) == len(without) + sizes + counters


def test_nets_of_other_kinds_and_sizes_are_refused() -> None:
    with pytest.raises(UserError, match=r"0 blocks, where there can be 3 \(32 px\), 4 \(64 px\)"):
        translate({"conv.weight": torch.zeros(1)}, "G")
    with pytest.raises(UserError, match="not the weights of net G"):
        options(cifar("D"), cifar("G"))
    with pytest.raises(UserError, match="generator is for 32 pixels and the discriminator for 64"):
        options(cifar("G"), SHAPES["whole z, shared embedding"][1]().state_dict())


# ---------------------------------------------------------------------- the script


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """G, G_ema and D of CIFAR's shape, as the source saves them."""
    torch.manual_seed(0)
    nets = {"G": SourceG(32, 16, classes=5, z=7), "G_ema": SourceG(32, 16, classes=5, z=7)}
    paths = {name: tmp_path / f"{name}.pth" for name in ("G", "G_ema", "D")}
    for name, net in (nets | {"D": SourceD(32, 16, classes=5)}).items():
        torch.save(net.state_dict(), paths[name])
    return paths


def words(files: dict[str, Path], runs: Path, name: str = "imported") -> list[object]:
    given = [word for kind, path in files.items() for word in (f"--{kind}", path)]
    return ["--source", "biggan", *given, "--name", name, "--checkpoints_dir", runs]


def test_script_makes_a_run_that_test_py_reads(
    tmp_path: Path, files: dict[str, Path], run_script: Callable[..., int]
) -> None:
    pytest.importorskip("models.biggan_model")
    runs = tmp_path / "runs"
    assert run_script("scripts/import_weights.py", *words(files, runs)) == 0
    made = {path.name for path in (runs / "imported").iterdir()}
    assert made == {"latest_net_G.pth", "latest_net_G_ema.pth", "latest_net_D.pth", "opt.json"}
    assert json.loads((runs / "imported" / "opt.json").read_text())["z_dim"] == 7

    from models import create_model
    from options.test_options import TestOptions

    place = [
        "--model",
        "biggan",
        "--name",
        "imported",
        "--checkpoints_dir",
        str(runs),
    ]
    opt = TestOptions().parse([*place, "--results_dir", str(tmp_path / "results")])
    model = create_model(opt)
    model.load_networks("latest")
    z, label = torch.randn(3, 7), torch.tensor([0, 4, 2])
    source = SourceG(32, 16, classes=5, z=7)
    source.load_state_dict(torch.load(files["G_ema"]))
    with torch.no_grad():
        expected = source(z, label)
    fake = model.test({"z": z, "label": label})["fake"]
    torch.testing.assert_close(fake, expected, rtol=0, atol=1e-5)


def test_test_py_makes_images_of_an_imported_run(
    tmp_path: Path, files: dict[str, Path], run_script: Callable[..., int]
) -> None:
    pytest.importorskip("models.biggan_model")
    pytest.importorskip("dominate")
    runs, results = tmp_path / "runs", tmp_path / "results"
    assert run_script("scripts/import_weights.py", *words({"G": files["G"]}, runs)) == 0
    place = ["--model", "biggan", "--name", "imported", "--checkpoints_dir", runs, "--results_dir", results]
    assert run_script("test.py", *place, "--num_test", 3, "--device", "cpu") == 0
    assert len(list(results.rglob("*seed*.png"))) >= 3


def test_script_refuses_in_one_sentence(
    tmp_path: Path,
    files: dict[str, Path],
    run_script: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("models.biggan_model")
    runs = tmp_path / "runs"
    odd = SourceG(32, 16, classes=5, z=7).state_dict()
    odd["blocks.1.0.conv1.bias"] = torch.zeros(9)
    torch.save(odd, tmp_path / "odd.pth")
    torch.save(SourceD(32, 16, classes=6).state_dict(), tmp_path / "odd_D.pth")
    wrong = {
        "--name ../elsewhere": words(files, runs, name="../elsewhere"),
        "net G of BigGAN-PyTorch": words(files | {"G": files["D"]}, runs),
        "blocks.1.conv1.bias has shape (9,), not (64,)": words({"G": tmp_path / "odd.pth"}, runs),
        "odd_D.pth is not of the published widths": words(files | {"D": tmp_path / "odd_D.pth"}, runs),
        "--source": ["--G", files["G"], "--name", "imported"],
        "there is no checkpoint": words({"G": tmp_path / "nowhere.pth"}, runs),
    }
    for sentence, given in wrong.items():
        assert run_script("scripts/import_weights.py", *given) == 2
        said = capsys.readouterr().err
        assert sentence in said and said.count("\n") == 1
        assert not runs.exists() or not any(runs.rglob("*.pth"))


def test_script_overwrites_no_run(
    tmp_path: Path,
    files: dict[str, Path],
    run_script: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "runs" / "imported"
    folder.mkdir(parents=True)
    (folder / "5_net_G.pth").write_bytes(b"precious")
    assert run_script("scripts/import_weights.py", *words(files, tmp_path / "runs")) == 2
    assert "exists and is not overwritten: choose another --name" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["5_net_G.pth"]
