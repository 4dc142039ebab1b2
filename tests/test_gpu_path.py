"""What GPU runs rely on, tested without a GPU: no reads inside a step, layouts, compilation, CUDA graphs."""

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
import torch
from conftest import DatalessModel, OptionMaker, random_batch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from models import create_model, networks
from models.base_model import BaseModel, Batch
from models.training.ema import EMA
from models.training.execution import Execution, to_channels_last
from util import distributed
from util.compiling import begin_step, eager_call, how_to_compile
from util.image_pool import ImagePool

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
STEADY = "--pool_size 2 --clip_grad 1 --ema_decay 0.9 --ortho_D 1e-3 --diffaug".split()
# name -> flags, kind of batch
MODELS: dict[str, tuple[str, str]] = {
    "cycle_gan": ("--r1_gamma 1 --r1_every 1", "pairs"),
    "cycle_gan_attn": ("--spectral both", "pairs"),
    "pix2pix": ("--gan_mode wgangp --accumulate 2", "pairs"),
    "colorization": ("--netG unet_128 --load_size 128 --crop_size 128", "colorization"),
    "dcgan": ("--gan_mode wgangp", "latent"),
    "cgan": ("--cond onehot", "latent"),
    "sagan": ("--r1_gamma 1 --r1_every 1", "latent"),
    "biggan": ("--ortho_G 1e-4 --n_critic 2", "latent"),
}


def made(train_opt: OptionMaker, name: str, *words: object) -> BaseModel:
    torch.manual_seed(3)
    return create_model(train_opt("--model", name, *words))


def batch_of(model: BaseModel, kind: str, seed: int = 0) -> Batch:
    return random_batch(kind, size=4, side=model.opt.crop_size, seed=seed)


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models live on torch's meta device, whose tensors have shapes but no values: reading one is an error."""
    monkeypatch.setattr(distributed, "pick_device", lambda *args: torch.device("meta"))
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # it knows no such device


@pytest.mark.parametrize("name", MODELS)
def test_a_step_reads_nothing_from_the_device(train_opt: OptionMaker, meta: None, name: str) -> None:
    flags, kind = MODELS[name]
    model = made(train_opt, name, *STEADY, *flags.split(), "--batch_size", 4)
    model.steps = 2  # losses are checked at step 0, and all phases are due in even steps
    model.optimize_parameters(batch_of(model, kind))
    assert model.steps == 3 and all(one.is_meta for one in model.nets.state_dict().values())


def test_only_the_check_for_finite_losses_reads(train_opt: OptionMaker, meta: None) -> None:
    model = made(train_opt, "dcgan")
    with pytest.raises(RuntimeError, match="meta"):
        model.optimize_parameters(batch_of(model, "latent"))


class NoReads(TorchDispatchMode):
    """Fails when a floating-point number is read; integers come from random draws on the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point():
            raise AssertionError("a number was read")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("clip", [0, 1])
def test_scaled_losses_need_no_read_with_the_fused_optimizer(
    train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch, clip: float
) -> None:
    model = made(train_opt, "dcgan", "--amp", "fp16", "--clip_grad", clip)
    assert model.scaler.is_enabled()
    monkeypatch.setattr(model, "check_finite", lambda: None)
    model.optimize_parameters(batch_of(model, "latent"))  # the first batch is checked, which reads it
    with NoReads():
        model.optimize_parameters(batch_of(model, "latent"))
        with pytest.raises(AssertionError, match="read"):
            model.get_current_losses()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("name", MODELS)
def test_a_step_never_waits_for_the_gpu(train_opt: OptionMaker, name: str) -> None:
    flags, kind = MODELS[name]
    model = made(train_opt, name, *STEADY, *flags.split(), "--batch_size", 4, "--amp", "bf16")
    batches = [batch_of(model, kind, seed) for seed in range(4)]
    for batch in batches[:3]:
        model.optimize_parameters(batch)
    pinned = {key: one.pin_memory() if torch.is_tensor(one) else one for key, one in batches[3].items()}
    torch.cuda.set_sync_debug_mode("error")
    try:
        model.optimize_parameters(pinned)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert model.steps == 4


def test_a_pool_that_was_loaded_moves_to_the_device_once() -> None:
    pool = ImagePool(3)
    pool.query(torch.rand(3, 1, 2, 2))
    other = ImagePool(3)
    other.load_state_dict(pool.state_dict())
    for _ in range(4):
        assert other.query(torch.empty(2, 1, 2, 2, device="meta")).is_meta
        assert all(image.is_meta for image in other.images)


def test_the_fused_average_equals_a_loop_bit_for_bit() -> None:
    torch.manual_seed(0)
    """Weights follow with a warm-up; statistics and the vectors of spectral norm are copied."""
    first = networks.apply_spectral_norm(nn.Conv2d(3, 4, 3))
    net = nn.Sequential(first, nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    ema = EMA(0.999)
    ema.track("net", net)
    right = copy.deepcopy(ema.shadows["net"])
    for updates in range(3):
        for parameter in net.parameters():
            nn.init.normal_(parameter)
        net(torch.randn(2, 3, 5, 5))
        for ours, theirs in zip(right.parameters(), net.parameters(), strict=True):
            ours.lerp_(theirs.detach(), 1 - (1 + updates) / (10 + updates))
        for own, new in zip(right.buffers(), net.buffers(), strict=True):
            own.copy_(new)
        ema.update(nn.ModuleDict({"net": net}))
    found = ema.shadows["net"].state_dict()
    assert len(found) == 11 and all(torch.equal(found[key], one) for key, one in right.state_dict().items())


@pytest.mark.parametrize(
    ("device", "half", "likes", "faster"),
    [
        ("cpu", False, True, True),
        ("cpu", True, False, False),
        ("cuda", True, False, True),
        ("cuda", False, True, False),
        ("mps", True, True, False),
    ],
)
def test_channels_last_is_for_tensor_cores_and_nets_that_are_faster_with_it(
    device: str, half: bool, likes: bool, faster: bool
) -> None:
    net = nn.Conv2d(3, 4, 3)
    net.likes_channels_last = likes
    execution = Execution(
        torch.device(device), amp="bf16" if half else "none", compiled=False, fast=True, static=False
    )
    execution.speed_up(net)
    assert net.weight.is_contiguous(memory_format=torch.channels_last) == faster


@pytest.mark.parametrize(
    ("net", "done"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), True),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), False),
        (nn.Linear(3, 4), False),
    ],
)
def test_images_change_their_layout_where_convolutions_did(net: nn.Module, done: bool) -> None:
    assert to_channels_last(net) == done


@pytest.mark.parametrize("last", [False, True])
def test_images_come_in_the_layout_of_the_nets(train_opt: OptionMaker, last: bool) -> None:
    model = made(train_opt, "pix2pix")
    model.execution.channels_last = last
    batch = batch_of(model, "pairs")
    image, label = model.to_device(batch["A"]), model.to_device(torch.arange(3))
    assert torch.equal(image, batch["A"]) and torch.equal(label, torch.arange(3))
    assert image.is_contiguous(memory_format=torch.channels_last) == last
    model.optimize_parameters(batch)
    assert model.real_pair().is_contiguous(memory_format=torch.channels_last) == last


@pytest.mark.parametrize(
    ("device", "words", "searched"),
    [
        (CUDA, "", True),
        (CUDA, "--fast off", False),
        (CUDA, "--preprocess none", False),
        (CPU, "", False),
    ],
)
def test_kernels_are_searched_for_where_shapes_stay(
    train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch, device: torch.device, words: str, searched: bool
) -> None:
    monkeypatch.setattr(distributed, "pick_device", lambda *args: device)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    DatalessModel(train_opt(*words.split()))
    assert torch.backends.cudnn.benchmark == searched


@pytest.mark.parametrize(
    ("device", "static", "norm", "graphs"),
    [
        (CUDA, True, nn.InstanceNorm2d, True),
        (CUDA, True, nn.BatchNorm2d, True),
        (CUDA, True, nn.SyncBatchNorm, False),
        (CUDA, False, nn.InstanceNorm2d, False),
        (CPU, True, nn.InstanceNorm2d, False),
    ],
)
def test_graphs_are_for_cuda_and_static_shapes(
    device: torch.device, static: bool, norm: type[nn.Module], graphs: bool
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), norm(4))
    expected = {"mode": "reduce-overhead", "dynamic": False} if graphs else {}
    assert how_to_compile(net, device, static=static) == expected


class GraphMemory:
    """Overwrites outputs and gradients with NaN when a new step is marked, as CUDA graphs may."""

    def __init__(self, nets: nn.ModuleDict) -> None:
        self.nets, self.given, self.marks = nets, [], 0
        for net in nets.values():
            net.register_forward_hook(lambda module, inputs, output: self.given.append(output))

    def mark(self) -> None:
        self.marks += 1
        grads = [one.grad for one in self.nets.parameters() if one.grad is not None]
        for tensor in (*self.given, *grads):
            tensor.detach().fill_(float("nan"))
        self.given.clear()


@pytest.mark.parametrize("name", ["cycle_gan", "pix2pix", "biggan"])
def test_no_step_needs_outputs_of_the_one_before(
    train_opt: OptionMaker, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flags, kind = MODELS[name]
    steady = [word for word in STEADY if word != "--diffaug"]
    runs = []
    for graphs in (False, True):
        model = made(train_opt, name, *steady, *flags.split(), "--batch_size", 4)
        model.execution.graphs = graphs
        memory = GraphMemory(model.nets)
        monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", memory.mark)
        for seed in range(3):
            model.optimize_parameters(batch_of(model, kind, seed))
        shown = model.get_current_visuals()
        assert memory.marks == (3 if graphs else 0)
        runs.append(model.nets.state_dict() | shown | model.ema.shadows.state_dict())
    assert all(torch.equal(one, runs[1][key]) for key, one in runs[0].items())


def test_a_step_begins_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[bool] = []
    net = nn.Linear(2, 1)
    monkeypatch.setattr(
        torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(net.weight.grad is None)
    )
    net(torch.ones(1, 2)).sum().backward()
    begin_step([torch.optim.SGD(net.parameters(), lr=1.0)])
    assert marks == [True]


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """--compile without code generation, which takes minutes; a name for each form of a net that was compiled."""
    from torch._dynamo.backends.debugging import aot_eager

    compiled, real = [], nn.Module.compile

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        compiled.append(f"form {len(compiled)}")
        return aot_eager(graph, inputs)

    monkeypatch.setattr(nn.Module, "compile", lambda net, **how: real(net, backend=backend))
    torch.compiler.reset()
    yield compiled
    torch.compiler.reset()


def test_penalties_of_compiled_nets_equal_eager_ones(train_opt: OptionMaker, forms: list[str]) -> None:
    words = "--gan_mode wgangp --r1_gamma 1 --r1_every 1 --norm none --fast off --lr 1e-9".split()
    opt = train_opt("--model", "dcgan", *words)
    losses, grads = [], []
    for compiled in (False, True):
        opt.compile = compiled
        torch.manual_seed(3)
        model = create_model(opt)
        assert all((net._compiled_call_impl is not None) == compiled for net in model.nets.values())
        model.optimize_parameters(batch_of(model, "latent"))
        losses.append(model.get_current_losses())
        grads.append(torch.cat([one.grad.flatten() for one in model.nets.parameters()]))
    assert forms and losses[0]["D_gp"] > 0 and losses[0]["D_r1"] > 0
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert (grads[1] - grads[0]).norm() < 1e-4 * grads[0].norm()


def test_a_compiled_net_alone_has_no_second_derivative(forms: list[str]) -> None:
    """The reason for eager_call: where this test fails, the penalties may use compiled nets."""
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    net.compile()
    x = torch.randn(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward"):
        gradient.square().sum().backward()
    assert forms and networks.r1_penalty(net, x.detach()).requires_grad


def test_pictures_of_a_run_compile_nothing(train_opt: OptionMaker, forms: list[str]) -> None:
    model = made(train_opt, "sagan", "--batch_size", 4, "--compile", "--attn_res", 8)
    for seed in range(2):
        model.optimize_parameters(batch_of(model, "latent", seed))
    assert len(forms) == 3  # G, D on real and fake, D on what G learns from
    shown = model.get_current_visuals() | model.test(batch_of(model, "latent"))
    assert "attn_D" in shown and len(forms) == 3


def test_eager_nets_do_not_call_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "set_stance", lambda *args: pytest.fail("the compiler was called"))
    with eager_call(nn.Linear(1, 1)):
        assert torch.is_grad_enabled()
