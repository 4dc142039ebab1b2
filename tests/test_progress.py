"""The progress of test.py: a bar in a terminal, and otherwise a line now and then."""

import io
import sys

import pytest

from util.display import progress
from util.display.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make(total: int) -> None:
    with Progress(total) as shown:
        for _ in range(total // 2):
            shown.update(2)


def test_a_terminal_shows_a_bar_with_the_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    make(8)
    text = terminal.getvalue()
    assert "/8 images" in text and "left" in text and "\n" not in text
    assert text.rstrip(" ").endswith("\r")  # the bar is removed


def test_without_a_terminal_a_line_now_and_then_says_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    clock = iter([0.0, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    make(12)
    assert capsys.readouterr().out.splitlines() == [
        "4 of 12 images, about 0:24 left",
        "8 of 12 images, about 0:12 left",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (75.4, "1:15"), (4000, "1:06:40")])
def test_durations(seconds: float, text: str) -> None:
    assert progress._duration(seconds) == text
