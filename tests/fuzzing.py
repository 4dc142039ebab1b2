"""Structure-aware mutations of options, configuration files, states, weights and command lines, and their judgement.

A case starts from a valid run and a valid command, changes one to three things, and runs the command in a forked
process. It must end with exit code 0 or with one sentence, within SECONDS, and write only where the program writes.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from conftest import TINY, run_main
from wrong_uses import snapshot

from options.parser import Parser
from options.sample_options import SampleOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.clock import Clock

SECONDS = 20
MEMORY = 6 << 30  # bytes that a case may take in addition to those of the tests
# values that are valid and slow, or need much memory on purpose
SKIPPED = {"compile", "num_threads", "cache", "check_data"}
NUMBERS = [0, 1, 2, 3, -1, 7, 2**31, 2**63, -(2**70), 10**400, 0.5, -0.0, 1e-320, 1e38, 1e308]
NUMBERS += [float("nan"), float("inf"), -float("inf")]
WORDS = [
    "",
    " ",
    "x",
    "none",
    "all",
    "-1",
    "--",
    "--help",
    "..",
    "../x",
    "/",
    "~",
    ".",
    "a,b",
    ",",
    "0,",
    "9" * 4400,
]
WORDS += [
    "x" * 300,
    "\x00",
    "\n",
    "\x1b[2J",
    "\udc80",
    "\N{GREEK SMALL LETTER ALPHA}",
    "%s",
    "{ngf}",
    "{ngf:>99999}",
]
WORDS += [
    "nan",
    "inf",
    "1e999",
    "0x10",
    "1_000",
    "true",
    "[1]",
    "{}",
    "null",
    "latest",
    "resnet_6blocks",
    "cycle_gan",
]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"a": 1}, [1, 2], ["x", "y"], "1" * 10]


@dataclass
class Case:
    """One command in a folder of its own."""

    number: int
    kind: str
    words: list[str]
    changed: list[str] = field(default_factory=list)


def hostile(rng: random.Random) -> Any:
    return rng.choice(rng.choice((NUMBERS, WORDS, OTHERS)))


def mutate_options(options: dict, rng: random.Random) -> tuple[dict, list[str]]:
    """One to three entries with other values, names or types."""
    changed = dict(options)
    told = []
    for _ in range(rng.randint(1, 3)):
        names = [name for name in sorted(changed) if name not in SKIPPED]
        if not names:
            break
        name, how = rng.choice(names), rng.randrange(6)
        if how == 0:
            del changed[name]
        elif how == 1:
            changed[name] = [changed[name]] * rng.randrange(3)
        elif how == 2:
            changed[name] = changed[rng.choice(names)]
        elif how == 3:
            changed[str(hostile(rng))] = changed[name]
        else:
            changed[name] = hostile(rng)
        told.append(f"{name}: {changed.get(name)!r:.60}")
    return changed, told


def mutate_bytes(content: bytes, rng: random.Random) -> tuple[bytes, list[str]]:
    data, told = bytearray(content), []
    for _ in range(rng.randint(1, 3)):
        place, how = rng.randrange(max(1, len(data))), rng.randrange(4)
        if how == 0:
            del data[place:]
        elif how == 1:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif how == 2:
            data[place:place] = rng.choice(
                (b"\0" * 4096, b"[" * 9999, b"\xff\xfe", b'"', b"{", b"\n", b"9" * 5000)
            )
        else:
            del data[place : place + rng.randint(1, 64)]
        told.append(f"bytes {how} at {place}")
    return bytes(data), told


def mutate_tree(value: Any, rng: random.Random) -> tuple[Any, list[str]]:
    """A state in which a part is missing, of another type, or a tensor of another shape, type or value."""
    path, node, parent = [], value, None
    while isinstance(node, dict | list) and node and (parent is None or rng.random() < 0.9):
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        parent, node = node, node[key]
        path.append(key)
    assert parent is not None
    how = rng.randrange(5)
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, dict):
        parent[rng.choice((0, "x", ("a",), None))] = node
    elif how > 1 and isinstance(node, torch.Tensor):
        parent[key] = other_tensor(node, rng)
    else:
        parent[key] = rng.choice((hostile(rng), torch.zeros(2), torch.zeros(0), {"x": torch.ones(1)}))
    return value, [
        f"{'.'.join(map(str, path))}: {how} {str(parent.get(key) if isinstance(parent, dict) else '')[:40]!r}"
    ]


def other_tensor(tensor: torch.Tensor, rng: random.Random) -> torch.Tensor:
    makers: list[Callable[[], torch.Tensor]] = [
        lambda: tensor.flatten()[:-1],
        lambda: tensor.unsqueeze(0),
        lambda: tensor.double(),
        lambda: tensor.to(torch.complex64),
        lambda: tensor.to(torch.int64),
        lambda: tensor.bool(),
        lambda: torch.full_like(tensor, 255) if not tensor.is_floating_point() else tensor * float("nan"),
        lambda: tensor.to_sparse(),
        lambda: tensor.float().expand(3, *tensor.shape),
        lambda: torch.empty(tensor.shape, device="meta"),
        lambda: tensor.flatten().repeat(2),
        lambda: tensor.t() if tensor.ndim == 2 else tensor.flip(0) if tensor.ndim else tensor + 1,
    ]
    return rng.choice(makers)()


def flags_of(words: list[str]) -> list[str]:
    """The shared flags of the program of a command line."""
    options = {"train.py": TrainOptions, "test.py": TestOptions}.get(words[0], SampleOptions)()
    parser = Parser(options.prog, [], is_train=options.is_train)
    options.initialize(parser)
    return [flag for flag in parser._option_string_actions if flag.removeprefix("--") not in SKIPPED]


def mutate_words(words: list[str], rng: random.Random) -> tuple[list[str], list[str]]:
    changed = list(words)
    for _ in range(rng.randint(1, 3)):
        how, place = rng.randrange(5), rng.randrange(1, len(changed))
        value = str(hostile(rng)).replace("\0", "")
        if how == 0:
            del changed[place]
        elif how == 1:
            changed[place] = value
        elif how == 2:
            changed.insert(place, value)
        else:
            flag = rng.choice(flags_of(words))
            changed += [f"{flag}={value}"] if rng.random() < 0.8 else [flag]
    return changed, [" ".join(changed)[:400]]


class Fuzzer:
    """Makes cases from a seed, each in a copy of the runs, and judges them."""

    def __init__(self, folder: Path, translator: Path, generator: Path, data: Path, seed: int) -> None:
        self.folder, self.runs, self.data, self.seed = folder, (translator, generator), data, seed
        self.results: Counter[str] = Counter()
        # the forked processes inherit what this reads
        TrainOptions().parse(["--dataroot", str(data), "--checkpoints_dir", str(folder), *TINY])

    def run(self, numbers: range) -> list[str]:
        """The descriptions of the cases that failed; first of all the unchanged commands must succeed."""
        for index, words in enumerate(self._commands()):
            place = self._copy(f"unchanged{index}")
            code, output = run_forked(words, place)
            assert code == 0, output
        return [fault for number in numbers if (fault := self._run_case(number))]

    def _copy(self, name: str) -> Path:
        """A folder with the runs and the data."""
        place = self.folder / name
        for source, run in zip(self.runs, "rg", strict=True):
            shutil.copytree(source / "r", place / "checkpoints" / run, copy_function=link_or_copy)
        shutil.copytree(self.data, place / "data")
        return place

    def _run_case(self, number: int) -> str:
        rng = random.Random(f"{self.seed}/{number}")
        place = self._copy(str(number))
        case = self._make(number, place, rng)
        before = snapshot(place / "data")
        code, output = run_forked(case.words, place)
        fault = judge(case.words, code, output, place, before)
        self.results[f"{case.kind}: {'fault' if fault else 'refused' if code else 'accepted'}"] += 1
        shutil.rmtree(place)
        if not fault:
            return ""
        told = f"case {number} ({case.kind})\n  {case.words}\n  {case.changed}\n  {fault}\n{output[-3000:]}"
        print(told.encode(errors="backslashreplace").decode(), flush=True)
        return told

    def _make(self, number: int, place: Path, rng: random.Random) -> Case:
        kind = rng.choice(
            ("options", "options", "text", "config", "state", "weights", "words", "words", "bytes")
        )
        words = rng.choice(list(self._commands()))
        if kind == "state":
            words = next(words for words in self._commands() if "--continue_train" in words)
        case = Case(number, kind, words)
        run = place / "checkpoints" / words[words.index("--name") + 1]
        options = json.loads((run / "opt.json").read_text()) if (run / "opt.json").exists() else {"ngf": 8}
        if kind in ("options", "text"):
            options, case.changed = mutate_options(options, rng)
            run.mkdir(exist_ok=True)
            if kind == "options":
                (run / "opt.json").write_text(json.dumps(options))
            else:
                (run / "opt.json").unlink(missing_ok=True)
                lines = [f"{name:>25}: {value!s:<30}" for name, value in options.items()]
                (run / "train_opt.txt").write_text("\n".join(lines), errors="replace")
        elif kind == "config":
            plain = {
                name: value
                for name, value in options.items()
                if name in ("ngf", "lr", "display", "netG", "norm")
            }
            options, case.changed = mutate_options(plain | {"batch_size": 1, "beta1": 0.5}, rng)
            (place / "c.yaml").write_text(json.dumps(options))
            case.words = [*words, "--config", "c.yaml"]
        elif kind == "words":
            # without --continue_train the run would have the sizes of real ones
            words = [*words, *TINY] if words[0] == "train.py" else words
            case.words, case.changed = mutate_words(words, rng)
        else:
            files = sorted(run.glob("*.pt*")) or sorted((place / "checkpoints" / "r").glob("*.pt*"))
            path = run / "latest_state.pt" if kind == "state" else rng.choice(files)
            if kind == "bytes":
                path = rng.choice([path, run / "opt.json"]) if run.is_dir() else path
                content, case.changed = mutate_bytes(path.read_bytes(), rng)
                path.unlink()
                path.write_bytes(content)
            else:
                value, case.changed = mutate_tree(torch.load(path, weights_only=True), rng)
                path.unlink()
                torch.save(value, path)
        return case

    def _commands(self) -> Iterator[list[str]]:
        short = ["--n_epochs_decay", "1", "--max_dataset_size", "2", "--display_id", "-1"]
        yield ["test.py", "--name", "r", "--dataroot", "data", "--num_test", "1"]
        yield ["train.py", "--name", "r", "--dataroot", "data", "--continue_train", *short]
        yield ["train.py", "--name", "new", "--dataroot", "data", *TINY, "--n_epochs", "1", *short]
        yield ["scripts/sample.py", "--name", "g", "--columns", "2", "--steps", "2", "--sheets", "grid"]
        yield ["test.py", "--name", "g", "--num_test", "1"]


def link_or_copy(source: str, target: str) -> None:
    """Link weights and states, which programs replace and never change; copy the other files."""
    (os.link if source.endswith((".pt", ".pth")) else shutil.copy)(source, target)


def run_forked(words: list[str], place: Path) -> tuple[int, str]:
    """The exit code of a program in a forked process, negative for a signal, and what it printed."""
    log = place.with_suffix(".log")
    child = os.fork()
    if child == 0:
        try:
            _run_here(words, place, log)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    output = log.read_text(errors="replace")
    log.unlink()
    return os.waitstatus_to_exitcode(status), output


def _run_here(words: list[str], place: Path, log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    os.chdir(place)
    os.environ["XDG_STATE_HOME"] = str(place / "state")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    # a valid --n_epochs may be a billion
    epochs = Clock.epochs
    Clock.epochs = lambda self, last: epochs(self, min(last, self.epoch + 1))  # type: ignore[method-assign]
    code = run_main(*words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def judge(words: list[str], code: int, output: str, place: Path, before: dict[str, str]) -> str:
    """What is wrong with the end of a case; empty if nothing."""
    if code not in (0, 1, 2):
        return f"ended with {code}" + " (time limit)" * (code == -signal.SIGALRM)
    if "Traceback" in output:
        return "printed a traceback"
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    if code and len(errors) != 1:
        return f"ended with {code} and {len(errors)} sentences"
    chosen = [word.partition("=")[2] for word in words if word.startswith("--results_dir=")]
    places = {"checkpoints", "results", "state", *(folder.split("/")[0] for folder in chosen)}
    written = {path.name for path in place.iterdir()} - {"data", "c.yaml"} - places
    if written or snapshot(place / "data") != before:
        return f"wrote {written or 'into the data'}"
    return ""
