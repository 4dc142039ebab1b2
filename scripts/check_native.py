"""Test the compiled functions for the CPU under address and undefined-behaviour sanitizers, with random inputs.

python scripts/check_native.py [--shapes 1000] [--wrong 500] [--seconds 600] [--seed 0]

A child process runs the functions on random shapes, whose outputs and gradients must equal torch's in float64, and on
wrong inputs, which must be refused. It ends with exit code 1 at the first difference or report of a sanitizer.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor

from models.nets.cpu import build, winograd
from models.nets.cpu.fused_attention import Attention, reference_attention
from models.nets.cpu.fused_norm import InstanceNormReLU, reference_norm
from models.nets.cpu.library import library
from models.nets.cpu.winograd import Kind, Winograd, reference_conv
from util import errors, log
from util.cli.arguments import Arguments
from util.errors import RunFault, UserError

SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=all -O1 -g".split()
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-11}  # relative differences
REFUSALS = (ValueError, RuntimeError, TypeError)
Function = Callable[..., Tensor]
Case = tuple[str, Function, Function, list[Tensor]]  # name, compiled form, reference, arguments


def main() -> int:
    opt = parse()
    if opt.inside:
        return check(opt)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--inside", *sys.argv[1:]]
        done = subprocess.run(command, env=environment(folder), check=False)
    if done.returncode:
        raise RunFault(f"the child process ended with exit code {done.returncode} at the last case above")
    return 0


def parse() -> argparse.Namespace:
    parser = Arguments(__doc__, prog="check_native.py")
    add = parser.add_argument
    add("--shapes", type=int, default=1000, help="random shapes to compare with torch (1000)")
    add("--wrong", type=int, default=500, help="wrong inputs that must be refused (500)")
    add("--seconds", type=float, default=600.0, help="stop after this time (600)")
    add("--seed", type=int, default=0, help="seed of the random numbers (0)")
    add("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def environment(folder: str) -> dict[str, str]:
    """The variables of the child process, which builds the library in `folder` and loads the sanitizer first."""
    compiler = os.environ.get("CXX") or "c++"
    # libstdc++ too: the sanitizer looks for the functions of exceptions when it is loaded
    names = ("libasan.so", "libstdc++.so")
    try:
        question = [*compiler.split(), "-print-file-name="]
        found = [
            subprocess.check_output([*question[:-1], question[-1] + name], text=True).strip()
            for name in names
        ]
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"the compiler CXX={compiler} cannot be started: {error}") from error
    if not all(Path(path).is_absolute() for path in found):
        raise UserError(
            f"CXX={compiler} has no libasan.so: install g++ with its sanitizers, or set CXX to it"
        )
    settings = "detect_leaks=0:allocator_may_return_null=1"
    return os.environ | {"XDG_CACHE_HOME": folder, "LD_PRELOAD": ":".join(found), "ASAN_OPTIONS": settings}


def check(opt: argparse.Namespace) -> int:
    """Run the cases in this process and print their counts."""
    build.FLAGS += SANITIZERS
    build.BUILD_TIMEOUT_S = 3600
    if library() is None:
        raise RunFault("the library could not be built with sanitizers")
    rng, end = random.Random(opt.seed), time.monotonic() + opt.seconds
    torch.manual_seed(opt.seed)
    kinds = ["shape"] * opt.shapes + ["wrong"] * opt.wrong
    rng.shuffle(kinds)
    counts = {"equal": 0, "with special values": 0, "refused": 0, "accepted as torch does": 0}
    for kind in kinds:
        if time.monotonic() > end:
            log.warn(f"--seconds {opt.seconds:g} ended before all cases had run")
            break
        winograd._scratch_of_thread.__dict__.clear()  # memory of the exact size, so that each overrun is seen
        torch.set_num_threads(rng.randint(1, 4))
        counts[compare(rng) if kind == "shape" else mislead(rng)] += 1
    log.info(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + ", no report")
    return 0


def random_case(rng: random.Random) -> Case:
    dtype = rng.choice(list(TOLERANCES))
    new = partial(torch.randn, dtype=dtype)
    side = partial(rng.randint, 1, rng.choice((9, 40)))
    n, c, k = rng.randint(1, rng.choice((2, 20))), rng.randint(1, rng.choice((5, 70))), rng.randint(1, 40)
    name = rng.choice(("convolution", "norm", "attention"))
    if name == "attention":
        query, places = (rng.randint(1, 9), side(), side()), (side(), side())
        arguments = [new(n, *query), new(n, query[0], *places), new(n, k, *places)]
        return name, Attention.apply, lambda q, k, v: reference_attention(q, k, v)[0], arguments
    if name == "norm":
        relu, eps = rng.random() < 0.5, rng.choice((1e-5, 0.1, 1))
        arguments = [new(n, c, side() + 1, side())]
        reference = partial(reference_norm, relu=relu, eps=eps)
        return name, lambda x: InstanceNormReLU.apply(x, relu, eps), reference, arguments
    kind = rng.choice(list(Kind))
    size = [max(side(), 3), max(side(), 3)]
    taps = 4 if kind in (Kind.HALVING, Kind.DOUBLING) else 3
    channels = (c, k) if kind is Kind.DOUBLING else (k, c)
    arguments = [new(n, c, *size), new(*channels, taps, taps), *([new(k)] if rng.random() < 0.7 else [])]
    return (
        f"convolution {kind.name}",
        lambda x, w, b=None: Winograd.apply(x, w, b, kind),
        lambda x, w, b=None: reference_conv(x, w, b, kind),
        arguments,
    )


def announce(name: str, arguments: Sequence[Tensor]) -> None:
    """Print a case before it runs, so that a crash can be attributed."""
    log.info(f"{name}: " + ", ".join(f"{str(x.dtype)[6:]} {tuple(x.shape)}" for x in arguments))


def results(function: Function, arguments: Sequence[Tensor]) -> list[Tensor]:
    """The output and the gradient of each argument, in float64."""
    inputs = [x.detach().clone().requires_grad_() for x in arguments]
    y = function(*inputs)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return [tensor.detach().double() for tensor in (y, *torch.autograd.grad((y * weights).sum(), inputs))]


def compare(rng: random.Random) -> str:
    """Outputs and gradients of a random case equal torch's; some inputs contain infinities, NaN and huge numbers."""
    name, compiled, reference, arguments = random_case(rng)
    announce(name, arguments)
    if rng.random() < 0.1:
        for tensor in arguments:
            tensor.view(-1)[rng.randrange(tensor.numel())] = rng.choice(
                (float("inf"), float("nan"), 1e30, -1e30)
            )
        results(compiled, arguments)
        return "with special values"
    expected = results(reference, [x.double() for x in arguments])
    for one, right in zip(results(compiled, arguments), expected, strict=True):
        difference = ((one - right).norm() / (right.norm() + right.numel() ** 0.5)).item()
        if not (one.shape == right.shape and difference < TOLERANCES[arguments[0].dtype]):
            raise RunFault(f"{name} differs by {difference:.1e}")
    return "equal"


def shrunk(x: Tensor) -> Tensor:
    x.untyped_storage().resize_(max(x.untyped_storage().nbytes() // 2, 1))
    return x


WRONG: Sequence[Callable[[Tensor], Tensor]] = (
    lambda x: x.repeat_interleave(2, 0),
    lambda x: x.repeat_interleave(2, min(1, x.ndim - 1)),
    lambda x: torch.cat([x, x[..., :1]], -1),
    lambda x: x[..., :-1].contiguous(),
    lambda x: x[:0],
    lambda x: x[..., :0],
    lambda x: x[0],
    lambda x: x[None],
    lambda x: x.transpose(0, -1),
    lambda x: x[..., ::2],
    lambda x: x.flatten()[0].expand(x.shape),
    lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
    lambda x: x.double() if x.dtype == torch.float32 else x.float(),
    lambda x: x.half(),
    lambda x: x.long(),
    lambda x: x.to(torch.complex64),
    lambda x: torch.complex(x, x).conj().imag,
    lambda x: x.to("meta"),
    lambda x: torch.empty((2**9, *x.shape[1:-2], 2**21, 2**21)[-x.ndim :], device="meta"),
    lambda x: x.to_sparse(),
    lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.quint8),
    shrunk,
)


def mislead(rng: random.Random) -> str:
    """A case with one wrong argument is refused, unless torch takes it with the same result."""
    name, compiled, reference, arguments = random_case(rng)
    position = rng.randrange(len(arguments))
    number = rng.randrange(len(WRONG))
    arguments[position] = WRONG[number](arguments[position])
    announce(f"{name}, argument {position} wrong in way {number}", arguments)
    try:
        found = compiled(*arguments)
    except REFUSALS:
        return "refused"
    expected = reference(*(x.double() for x in arguments))
    difference = ((found.double() - expected).norm() / (expected.norm() + 1)).item()
    if not (found.shape == expected.shape and (difference < TOLERANCES[found.dtype] or not found.numel())):
        raise RunFault(f"{name} computes something else than torch from a wrong input")
    return "accepted as torch does"


if __name__ == "__main__":
    raise SystemExit(errors.run(main))
