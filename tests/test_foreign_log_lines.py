"""Lines of others in losses.jsonl cost neither the page nor the losses before and after them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from display_run import fake_run

from util.clock import Clock
from util.pages.loss_history import History

FOREIGN = [
    "{}",
    "[1, 2]",
    "null",
    "7",
    '"text"',
    '{"images": null}',
    '{"images": 5, "losses": [1]}',
    '{"images": 5}',
    "[" * 100_000,
    '{"images": "many", "losses": {}}',
    '{"images": 5, "losses": {"G": "x"}}',
    '{"images": 1e400, "losses": {"G": 1}}',
    '{"losses": {"G": 1}}',
    '{"images": %s, "losses": {"G": 1}}' % ("9" * 5000),
    "\xff",
]


@pytest.mark.parametrize("line", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_line_is_left_out_of_the_curves(tmp_path: Path, line: str) -> None:
    lines = ['{"images": 2, "losses": {"G": 1.5}}', line, '{"images": 4, "losses": {"G": 2.5}}', ""]
    (tmp_path / "losses.jsonl").write_text("\n".join(lines), encoding="latin-1")
    history = History.of_run(fake_run(tmp_path, Clock(images=10), resumed=True))
    assert [(x, mean) for x, mean, *_ in history.series["G"].points] == [(2, 1.5), (4, 2.5)]


def test_a_resumed_run_keeps_its_page(
    trained_copy: Callable[[str], Path], run_script: Callable[..., int], capfd: pytest.CaptureFixture
) -> None:
    runs = trained_copy("cycle_gan")
    path = runs / "r" / "losses.jsonl"
    path.write_text(
        '{"epoch": 1, "iters": 2, "images": 2, "time": 0.1, "data": 0.1, "losses": {"G": 1.5}}\n{}\n[1, 2]\n'
    )
    words = ["--continue_train", "--checkpoints_dir", runs, "--name", "r", "--n_epochs", 2]
    assert run_script("train.py", *words, "--display", "jsonl,html", "--print_freq", 2) == 0
    assert "HtmlBackend" not in capfd.readouterr().err
    assert "<svg" in (runs / "r" / "web" / "index.html").read_text()
