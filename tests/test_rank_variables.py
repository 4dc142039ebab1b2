"""Wrong environment variables of torchrun end in one sentence within seconds."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
from conftest import TINY, names_all

from util import distributed, log
from util.ranks import rank_variables

Runner = Callable[..., int]
Trainer = Callable[[dict[str, str]], str]
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
WORDS = [*TINY, "--n_epochs", "1", "--n_epochs_decay", "0", "--max_dataset_size", "1", "--display", "console"]
PLACE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29761"}
ALONE = {"RANK": "0", "WORLD_SIZE": "1", **PLACE}


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test starts without variables of torchrun and ends without a process group."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture
def train_with(
    run_script: Runner,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    unpaired: Path,
    tmp_path: Path,
) -> Trainer:
    """Run train.py with these variables; return the sentence with which it refuses them."""

    def train(variables: dict[str, str]) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = run_script("train.py", "--dataroot", unpaired, "--checkpoints_dir", tmp_path / "runs", *WORDS)
        lines = capfd.readouterr().err.strip().splitlines()
        assert code == 2 and lines, (code, lines)
        return lines[-1]

    return train


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"RANK": "1"}, ["RANK", "WORLD_SIZE"]),
        ({"RANK": "0"}, ["RANK", "WORLD_SIZE"]),
        ({"WORLD_SIZE": "2"}, ["RANK", "WORLD_SIZE"]),
    ],
    ids=str,
)
def test_half_of_the_rank_variables_is_refused(
    train_with: Trainer, variables: dict[str, str], named: list[str]
) -> None:
    """RANK=1 alone must not train in silence and write nothing."""
    assert names_all(train_with(variables), named)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({**ALONE, "RANK": ""}, "RANK"),
        ({**ALONE, "RANK": "first"}, "RANK"),
        ({**ALONE, "RANK": "-1"}, "RANK"),
        ({**ALONE, "RANK": "1"}, "RANK"),
        ({**ALONE, "WORLD_SIZE": "0"}, "WORLD_SIZE"),
        ({**ALONE, "WORLD_SIZE": "two"}, "WORLD_SIZE"),
        ({"RANK": "0", "WORLD_SIZE": "1"}, "MASTER_ADDR"),
        ({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}, "MASTER_PORT"),
        ({**ALONE, "MASTER_PORT": "port"}, "MASTER_PORT"),
        ({**ALONE, "MASTER_PORT": "70000"}, "MASTER_PORT"),
        ({**ALONE, "LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE"),
        ({**ALONE, "LOCAL_WORLD_SIZE": "one"}, "LOCAL_WORLD_SIZE"),
        ({**ALONE, "LOCAL_WORLD_SIZE": "2"}, "LOCAL_WORLD_SIZE"),
        ({**ALONE, "LOCAL_RANK": "1"}, "LOCAL_RANK"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK"),
        ({**ALONE, "WORLD_SIZE": "9" * 5000}, "WORLD_SIZE"),
    ],
    ids=lambda value: " ".join(f"{n}={v}" for n, v in value.items()) if isinstance(value, dict) else value,
)
def test_a_wrong_rank_variable_is_named(
    train_with: Trainer, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    """In one sentence, before the processes look for each other."""
    monkeypatch.setattr(dist, "init_process_group", never_reached)
    assert names_all(train_with(variables), [named])


def test_a_rank_beyond_the_world_does_not_wait(train_with: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """RANK=5 of WORLD_SIZE=2 waited half an hour for the other processes."""
    monkeypatch.setattr(dist, "init_process_group", never_reached)
    sentence = train_with({**ALONE, "RANK": "5", "WORLD_SIZE": "2"})
    assert names_all(sentence, ["RANK", "5", "WORLD_SIZE", "2"])


def never_reached(*args: object, **settings: object) -> None:
    raise AssertionError("the variables were not checked before the process group was started")


def test_a_taken_port_is_named(train_with: Trainer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert names_all(train_with({**ALONE, "MASTER_PORT": port}), ["MASTER_PORT", port])


@pytest.mark.parametrize("rank", ["0", "1"])
def test_processes_that_never_start_are_not_awaited_for_ever(
    train_with: Trainer, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    monkeypatch.setenv("ZEBRAWOOD_JOIN_TIMEOUT", "1")
    sentence = train_with({**ALONE, "RANK": rank, "WORLD_SIZE": "2", "MASTER_PORT": port})
    assert names_all(sentence, ["MASTER_PORT", port, "ZEBRAWOOD_JOIN_TIMEOUT"])


def test_a_program_that_is_no_process_of_the_run_is_not_awaited(
    train_with: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "ANSWER_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as other:  # takes connections and says nothing
        port = str(other.getsockname()[1])
        sentence = train_with({**ALONE, "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": port})
    assert names_all(sentence, ["MASTER_PORT", port])


def test_a_long_wait_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    for name, value in {**ALONE, "WORLD_SIZE": "2", "ZEBRAWOOD_JOIN_TIMEOUT": "7"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_variables, "NOTICE_S", 0.0)
    said = ""
    with rank_variables.joining() as timeout_s:
        while "MASTER_PORT" not in said:
            said += capfd.readouterr().err
    assert timeout_s == 7 and names_all(said, ["RANK=0", "7 s", "MASTER_PORT=29761"])


def test_an_unknown_host_does_not_wait(train_with: Trainer) -> None:
    sentence = train_with({**ALONE, "MASTER_ADDR": "no-such-host.invalid"})
    assert names_all(sentence, ["MASTER_ADDR", "no-such-host.invalid"])


@pytest.mark.parametrize(
    ("variables", "main"),
    [
        ({}, True),
        ({"RANK": "1"}, True),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
    ],
    ids=str,
)
def test_a_process_is_silent_only_as_a_further_rank(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], main: bool
) -> None:
    """Scripts that know no ranks print and write whatever RANK is."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert log.is_main() is main
