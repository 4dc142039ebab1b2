"""The pages of a run link to each other, say what they show, and stay usable without their neighbours."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from util.pages.html import HTML
from util.pages.links import add_to_training_page, results_on

Runner = Callable[..., int]


@pytest.fixture
def run(trained_copy: Callable[[str], Path], run_script: Runner, unpaired: Path, tmp_path: Path) -> Callable:
    """Test the run `r`; its folder and that of its results."""
    runs = trained_copy("cycle_gan")
    (runs / "r" / "web").mkdir()
    training = HTML(runs / "r" / "web", "r")
    training.add_links([("older epochs", "index.html")])
    training.save()

    def test(*words: object) -> tuple[Path, Path]:
        place = [
            "--dataroot",
            unpaired,
            "--checkpoints_dir",
            runs,
            "--results_dir",
            tmp_path / "results & more",
        ]
        assert run_script("test.py", *place, "--name", "r", *words) == 0
        return runs / "r", tmp_path / "results & more" / "r"

    return test


def targets(page: Path) -> set[Path]:
    """The pages that a page links to."""
    found = re.findall(r'<a [^>]*href="([^"#]+\.html)"', page.read_text(encoding="utf-8"))
    return {(page.parent / unquote(link.replace("&amp;", "&"))).resolve() for link in found}


def test_training_and_results_link_to_each_other(run: Callable) -> None:
    run("--phase", "train")
    run()
    folder, results = run()  # the second time changes nothing
    training, test, train = (
        folder / "web/index.html",
        results / "test_latest/index.html",
        results / "train_latest/index.html",
    )
    assert targets(training) == {training, test, train}
    assert targets(test) == {training, train}
    assert [text for text, _ in results_on(training)] == ["train_latest", "test_latest"]
    shutil.rmtree(results / "train_latest")
    assert [text for text, _ in results_on(training)] == ["test_latest"]


def test_results_say_the_number_of_the_epoch_and_show_the_options(run: Callable, unpaired: Path) -> None:
    folder, results = run()
    text = (results / "test_latest/index.html").read_text()
    subtitle = re.findall(r"<h1>r</h1>\s*<p>(.*)</p>", text)[0]
    assert "epoch 1 (latest)" in subtitle and str(unpaired) in subtitle and "3 images" in subtitle
    assert re.search(r"<dt>dataroot</dt>\s*<dd>" + str(unpaired), text)
    assert text.index("<h1>") < text.index("<h2>") and "<h3>" not in text
    (folder / "latest_state.pt").write_bytes(b"damaged")
    run()
    assert "epoch latest" in (results / "test_latest/index.html").read_text()


def test_each_image_has_its_own_description(run: Callable) -> None:
    _, results = run()
    descriptions = re.findall(r'<img alt="([^"]*)"', (results / "test_latest/index.html").read_text())
    labels = "real_A fake_B rec_A real_B fake_A rec_B".split()
    assert descriptions == [f"{label}, 00{index}" for index in range(3) for label in labels]


def test_a_training_page_that_is_missing_or_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    add_to_training_page(tmp_path / "run", tmp_path / "results")
    assert not (tmp_path / "run").exists()
    page = tmp_path / "run" / "web" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"\xff no page")
    add_to_training_page(tmp_path / "run", tmp_path / "results")
    assert page.read_bytes() == b"\xff no page"


@pytest.mark.parametrize("linked", ["web", "web/index.html"])
def test_a_training_page_that_leads_out_of_the_run_is_left_alone(tmp_path: Path, linked: str) -> None:
    """A run from somebody else may hold links."""
    own, run, results = tmp_path / "own", tmp_path / "run", tmp_path / "results"
    for folder in (own, run, results):
        folder.mkdir()
    (own / "index.html").write_text("<nav></nav>")
    (results / "index.html").touch()
    if linked == "web":
        (run / "web").symlink_to(own)
    else:
        (run / "web").mkdir()
        (run / "web" / "index.html").symlink_to(own / "index.html")
    add_to_training_page(run, results)
    assert (own / "index.html").read_text() == "<nav></nav>"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
def test_a_fifo_instead_of_the_training_page_is_no_reason_to_wait(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    os.mkfifo(tmp_path / "web" / "index.html")
    add_to_training_page(tmp_path, tmp_path)
    assert results_on(tmp_path / "web" / "index.html") == []


def test_links_to_results_run_no_script(tmp_path: Path) -> None:
    """An existing file may be named like a script."""
    script = "javascript:alert(1)"
    (tmp_path / script).touch()
    (tmp_path / "index.html").write_text(f'<a class="results" href="{script}">results</a>')
    ((_, target),) = results_on(tmp_path / "index.html")
    assert not target.startswith("javascript:") and unquote(target) == script
