"""The fast path equals the reference path: outputs, losses, gradients, runs."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from compiled_functions import compiled, distance
from conftest import OptionMaker, names_all, random_batch
from gradients import gradients_of_phases
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from models import create_model
from models.base_model import BaseModel, Phase
from models.nets.cpu import cpu_kernels, winograd
from models.nets.cpu import library as native
from models.nets.cpu.fused_norm import FusedInstanceNorm
from models.nets.cpu.winograd import WinogradConv2d, WinogradConvTranspose2d

Converted = WinogradConv2d | WinogradConvTranspose2d
Model = tuple[str, str, str, int]

UNET = "--netG unet_128 --load_size 128 --crop_size 128"
BROAD = "--ngf 32 --ndf 32"  # the same for the noise-to-image nets
WIDE = "--ngf 16"  # residual blocks of 64 channels, the least that is worth compiled convolutions
# with Adam a tiny difference can become a full step, and later phases see what earlier ones learned
BARELY = "--lr 1e-9 --lr_G 1e-9 --lr_D 1e-9".split()
# name, flags, kind of batch, its size
MODELS: dict[str, Model] = {
    "cycle_gan": ("cycle_gan", WIDE, "pairs", 1),
    "cycle_gan_r1": ("cycle_gan", f"{WIDE} --r1_gamma 1 --r1_every 1", "pairs", 2),
    "cycle_gan_wgangp": ("cycle_gan", f"{WIDE} --gan_mode wgangp", "pairs", 1),
    "cycle_gan_batch_norm": ("cycle_gan", f"{WIDE} --norm batch", "pairs", 2),
    "cycle_gan_attn": ("cycle_gan_attn", f"{WIDE} --spectral D", "pairs", 1),
    "pix2pix": ("pix2pix", f"{UNET} {WIDE} --ndf 16 --no_dropout", "pairs", 2),
    "sagan": ("sagan", BROAD, "latent", 4),
    "sagan_nearest": ("sagan", "--ngf 64 --ndf 64 --upsample nearest --sn_scope blocks", "latent", 4),
    "sagan_r1": ("sagan", f"{BROAD} --r1_gamma 1 --r1_every 1", "latent", 4),
    "sagan_averaged": ("sagan", f"{BROAD} --ema_decay 0.9", "latent", 4),
    "dcgan": ("dcgan", f"{BROAD} --ortho_D 1e-3", "latent", 4),
    "dcgan_wgangp": ("dcgan", f"{BROAD} --gan_mode wgangp --norm none", "latent", 4),
    "biggan": ("biggan", BROAD, "latent", 4),
}


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled convolutions work on the few pixels of these tests, too."""
    monkeypatch.setattr(winograd, "LEAST_TILES", 1)


@pytest.fixture
def double() -> Iterator[None]:
    """Everything in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def made(train_opt: OptionMaker, model: Model, form: str, *words: str) -> BaseModel:
    """A model in one form, whose attention has a weight."""
    torch.manual_seed(3)
    built = create_model(train_opt("--model", model[0], *model[1].split(), "--fast", form, *words))
    for name, parameter in built.nets.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    return built


def batch_of(model: Model, side: int, seed: int = 0) -> dict:
    batch = random_batch(model[2], model[3], side, seed)
    kind = torch.get_default_dtype()
    return {key: value.to(kind) if key in ("A", "B", "image") else value for key, value in batch.items()}


def step(built: BaseModel, model: Model, seed: int = 0) -> dict[str, float]:
    torch.manual_seed(seed)
    built.optimize_parameters(batch_of(model, built.opt.crop_size, seed))
    return built.get_current_losses()


@compiled
@pytest.mark.parametrize("name", MODELS)
def test_a_step_equals_the_reference_path_in_float64(train_opt: OptionMaker, name: str, double: None) -> None:
    model = MODELS[name]
    fast, reference = (made(train_opt, model, form, *BARELY) for form in ("auto", "off"))
    converted = [any(isinstance(layer, Converted) for layer in net.modules()) for net in fast.nets.values()]
    # the discriminators of cycle_gan are too narrow here: they have 8 channels
    assert all(converted) or (name.startswith("cycle_gan") and any(converted))
    gradients, reference_gradients = (
        gradients_of_phases(built, batch_of(model, built.opt.crop_size)) for built in (fast, reference)
    )
    losses, right = fast.get_current_losses(), reference.get_current_losses()
    assert losses.keys() == right.keys()
    for term, value in right.items():
        assert losses[term] == pytest.approx(value, rel=1e-12, abs=1e-14), term
    assert gradients.keys() == reference_gradients.keys() == {phase.name for phase in reference.phases}
    for phase, wanted in reference_gradients.items():
        assert distance(gradients[phase], wanted) < 1e-12, phase
    shown = fast.visuals()
    assert all(distance(shown[label], images) < 1e-12 for label, images in reference.visuals().items())


@compiled
@pytest.mark.parametrize("name", ["cycle_gan", "cycle_gan_attn", "pix2pix", "sagan", "dcgan", "biggan"])
def test_losses_equal_the_reference_path_in_float32(train_opt: OptionMaker, name: str) -> None:
    model = MODELS[name]
    fast, reference = (step(made(train_opt, model, form, *BARELY), model) for form in ("auto", "off"))
    for term, value in reference.items():
        assert fast[term] == pytest.approx(value, rel=1e-5, abs=1e-6), term


@compiled
@pytest.mark.parametrize("name", ["cycle_gan", "sagan"])
@pytest.mark.parametrize(("before", "after"), [("auto", "off"), ("off", "auto"), ("auto", "auto")])
def test_a_run_resumes_in_either_form(
    train_opt: OptionMaker, name: str, before: str, after: str, double: None
) -> None:
    model = MODELS[name]
    first = made(train_opt, model, before)
    for seed in range(2):
        step(first, model, seed)
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "local": first.local_state.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=False)
    torch.manual_seed(9)
    second = create_model(train_opt("--model", model[0], *model[1].split(), "--fast", after))
    second.load_state_dict(saved["model"])
    second.local_state.load_state_dict(saved["local"])
    for seed in range(2, 4):
        step(first, model, seed)
        step(second, model, seed)
    assert {group["fused"] for phase in second.phases for group in phase.optimizer.param_groups} == {
        True if after == "auto" else None
    }
    theirs = second.nets.state_dict()
    for key, value in first.nets.state_dict().items():
        if before == after:
            assert torch.equal(theirs[key], value), key
        else:
            assert torch.allclose(theirs[key], value, rtol=1e-8, atol=1e-9), key


@compiled
@pytest.mark.parametrize("name", ["cycle_gan", "cycle_gan_attn", "pix2pix", "sagan", "biggan"])
def test_files_of_weights_are_the_same(train_opt: OptionMaker, name: str) -> None:
    files = {}
    for form in ("auto", "off"):
        built = made(train_opt, MODELS[name], form)
        built.save_networks(form)
        files[form] = {
            net: torch.load(built.save_dir / f"{form}_net_{net}.pth", weights_only=True) for net in built.nets
        }
    for net, state in files["off"].items():
        assert list(files["auto"][net]) == list(state)
        for key, value in state.items():
            assert torch.equal(files["auto"][net][key], value)
            assert files["auto"][net][key].is_contiguous()


def test_small_nets_are_left_alone_and_nothing_is_built(
    train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_kernels, "library", lambda: pytest.fail("the compiled functions were loaded"))
    for name in ("cycle_gan", "cycle_gan_attn", "pix2pix", "sagan", "dcgan", "biggan"):
        words = f"{UNET} --ngf 2".split() if name == "pix2pix" else []
        built = create_model(train_opt("--model", name, *words))
        assert not any(isinstance(module, Converted) for module in built.nets.modules())


@pytest.mark.parametrize("flag", ["--amp bf16", "--compile"])
def test_layers_stay_under_autocast_and_compile(train_opt: OptionMaker, flag: str) -> None:
    built = create_model(train_opt("--model", "cycle_gan", *WIDE.split(), *flag.split()))
    assert not any(isinstance(module, Converted | FusedInstanceNorm) for module in built.nets.modules())


@compiled
def test_all_layers_of_a_wide_resnet_are_converted(train_opt: OptionMaker) -> None:
    built = made(train_opt, MODELS["cycle_gan"], "auto")
    layers = list(built.G_A.modules())
    assert sum(isinstance(layer, WinogradConv2d) for layer in layers) == 12
    assert {type(layer) for layer in layers if isinstance(layer, _InstanceNorm)} == {FusedInstanceNorm}
    assert not any(isinstance(layer, nn.ReLU) for layer in layers)
    kinds = {type(layer) for layer in made(train_opt, MODELS["cycle_gan"], "off").nets.modules()}
    assert not kinds & {WinogradConv2d, FusedInstanceNorm}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cycle_gan", WIDE),
        ("cycle_gan", "--ngf 8"),
        ("pix2pix", "--norm instance --netG unet_128 --crop_size 128"),
    ],
)
def test_no_instance_norm_gets_a_channels_last_gradient(
    train_opt: OptionMaker, name: str, words: str
) -> None:
    """With a batch of one, torch gives wrong gradients there without an error."""
    words = f"{words} --load_size 128" if "128" in words else words
    model = (name, words, "pairs", 1)
    built, contiguous = made(train_opt, model, "auto"), []

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda grad: contiguous.append(grad.is_contiguous()))

    for module in built.nets.modules():
        if isinstance(module, _InstanceNorm):
            module.register_forward_hook(watch)
    step(built, model)
    assert len(contiguous) > 10 and all(contiguous)


@compiled
@pytest.mark.parametrize(
    ("name", "words", "last"),
    [
        *((name, words, words == "") for name in ("sagan", "dcgan", "biggan") for words in ("", BROAD)),
        ("pix2pix", UNET, False),
    ],
)
def test_each_net_has_the_faster_layout(train_opt: OptionMaker, name: str, words: str, last: bool) -> None:
    """Channels-last with torch's convolutions, contiguous with compiled ones."""
    model = (name, words, "", 0)
    for form in ("auto", "off"):
        weights = [one for one in made(train_opt, model, form).nets.parameters() if one.ndim == 4]
        assert any(not weight.is_contiguous() for weight in weights) == (last and form == "auto")
    normed = made(train_opt, model, "auto", "--norm", "instance").nets["G"]
    assert any(isinstance(module, _InstanceNorm) for module in normed.modules())
    assert all(weight.is_contiguous() for weight in normed.parameters())


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An empty cache folder and no loaded library."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.library.cache_clear()
    yield monkeypatch
    native.library.cache_clear()


@pytest.mark.parametrize("compiler", ["/nowhere/c++", "false", ""])
def test_without_a_compiler_it_is_torch(
    train_opt: OptionMaker, empty_cache: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, compiler: str
) -> None:
    if compiler:
        empty_cache.setenv("CXX", compiler)
    else:  # nothing is found, and nothing is set
        empty_cache.delenv("CXX", raising=False)
        empty_cache.setenv("PATH", "/nowhere")
    built = made(train_opt, MODELS["cycle_gan"], "auto")
    assert not any(isinstance(module, WinogradConv2d) for module in built.nets.modules())
    assert all(value == value for value in step(built, MODELS["cycle_gan"]).values())
    out, err = capfd.readouterr()
    assert names_all(err, ["C++", "compiler"]) and err.count("\n") == 1
    assert ("building" in out) == (compiler == "false")


@pytest.mark.parametrize(("form", "passes"), [("auto", 1 + 1), ("off", 1 + 2)])
def test_off_uses_no_optimisation(train_opt: OptionMaker, form: str, passes: int) -> None:
    """One pass of the discriminator for the generator, and one or two for real and fake; nothing frozen when off."""
    built = create_model(train_opt("--model", "sagan", "--fast", form))
    seen: list[int] = []
    built.D.register_forward_pre_hook(lambda net, inputs: seen.append(len(inputs[0])))
    update, idle = built._update, []

    def note(phase: Phase) -> None:
        others = [one for name in set(built.nets) - set(phase.nets) for one in built.nets[name].parameters()]
        idle.append(not any(one.requires_grad for one in others))
        update(phase)

    built._update = note  # type: ignore[method-assign]
    step(built, MODELS["sagan"])
    assert len(seen) == passes and sum(seen) == 3 * 4
    assert idle == [form == "auto"] * 2
