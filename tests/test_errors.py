"""Errors become exit codes and one line on stderr."""

import errno

import pytest
from conftest import names_all

from util import errors
from util.errors import RunFault, UserError, run


def fail_with(error: BaseException) -> int:
    def fail() -> None:
        raise error

    return run(fail)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("--a 3\nmust divide --b 8"), 2, ("--a 3", "--b 8")),
        (RunFault("x.png"), 1, ("x.png",)),
        (KeyboardInterrupt(), 130, ()),
        (MemoryError(), 1, ("--batch_size", "--accumulate")),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, ("--batch_size", "--accumulate")),
        (ModuleNotFoundError(name="no_such.part"), 2, ("no_such", ".venv/bin/activate", "pip")),
        (OSError(errno.ENOSPC, "No space left on device"), 1, ("disk",)),
    ],
)
def test_errors_become_exit_codes_and_one_line(
    error: BaseException,
    code: int,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(errors, "mute", lambda stream: None)
    assert fail_with(error) == code
    printed = capsys.readouterr().err
    assert "Traceback" not in printed and printed.count("\n") == 1 and names_all(printed, words)


def test_a_reader_that_has_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    muted = []
    monkeypatch.setattr(errors, "mute", muted.append)
    assert fail_with(BrokenPipeError()) == 0 and muted


def test_the_debug_variable_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEBRAWOOD_DEBUG", "1")
    with pytest.raises(UserError):
        fail_with(UserError("x"))


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        RuntimeError("shapes differ"),
        ModuleNotFoundError(name="util.gone"),
        OSError(errno.EIO, "x"),
    ],
)
def test_other_exceptions_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)):
        fail_with(error)


def test_an_error_lists_its_flags_with_their_values() -> None:
    error = UserError("--accumulate 3 must divide --batch_size 8; see --help")
    assert error.flags == {"--accumulate": "3", "--batch_size": "8", "--help": ""}
