"""The pages: their content, their links, and that no file is lost or overwritten."""

import html.parser
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from util.clock import Clock
from util.imaging.images import image_size, save_image
from util.pages import html as html_page
from util.pages.html import HTML, rows
from util.pages.results_page import ROWS_PER_PAGE, ResultsPage
from util.pages.train_page import PER_PAGE, TrainPage

DOT = np.zeros((2, 2, 3), np.uint8)
ODD = "50% #1?ä <b>&'\" x"


class Links(html.parser.HTMLParser):
    """All values of src and href on a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.found += [value for name, value in attributes if name in ("src", "href")]


def count_links(folder: Path) -> int:
    """The number of links to files on all pages, checked to be relative, quoted and to existing files and sections."""
    links = []
    for page in folder.glob("*.html"):
        found = Links(page).found
        links += [link for link in found if not link.startswith("#")]
        sections = set(re.findall(r'<section id="([^"]+)"', page.read_text(encoding="utf-8")))
        assert {unquote(link[1:]) for link in found if link.startswith("#")} <= sections
    for link in links:
        assert not re.search(r"[#?\\ ]|^/|^\w+:", link), link
        assert (folder / unquote(link)).is_file(), link
    return len(links)


def train_page(web_dir: Path) -> TrainPage:
    return TrainPage(web_dir, title=f"run {ODD}", options={"lr": 0.0002, ODD: ODD}, image_width=256)


def write(page: TrainPage) -> None:
    page.write(subtitle="", panels={}, refresh=0)


def show(page: TrainPage, epochs: range, labels: tuple[str, ...] = ("real_A", "fake_B")) -> None:
    for epoch in epochs:
        page.save_images(epoch, dict.fromkeys(labels, DOT))
        write(page)


def headings(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"<h2>Epoch (\d+)", path.read_text(encoding="utf-8"))]


def test_links_are_quoted_and_text_is_escaped(tmp_path):
    page = HTML(tmp_path, ODD)
    (tmp_path / "images" / "sub").mkdir()
    for name in (f"{ODD}.png", f"sub/{ODD}.png"):
        save_image(DOT, tmp_path / "images" / name)
        page.add_header(ODD)
        page.add_images({ODD: name}, width=100)
    page.save()
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in text.replace("<b>0", "")
    assert "ä &lt;b&gt;&amp;" in text
    assert count_links(tmp_path) == 4


def test_a_page_loads_nothing_declares_its_encoding_and_leaves_missing_images_out(tmp_path):
    page = HTML(tmp_path, "t")
    page.add_header("h")
    page.add_images({"absent": "absent.png"})
    page.save()
    assert "img" not in Links(tmp_path / "index.html").tags
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "http:" not in text and "https:" not in text and "<script" not in text
    assert '<meta charset="utf-8">' in text
    assert 'http-equiv="refresh"' not in text
    HTML(tmp_path, "t", refresh=60).save()
    assert '<meta content="60" http-equiv="refresh">' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_large_images_are_shown_at_up_to_twice_and_wide_ones_at_up_to_four_times_the_width(tmp_path):
    page = HTML(tmp_path, "t")
    page.add_header("h")
    names = []
    for width, height in ((10, 10), (150, 150), (900, 900), (15, 10), (258, 64), (90, 10), (10, 90)):
        names.append(f"{width}x{height}.png")
        save_image(np.zeros((height, width, 3), np.uint8), tmp_path / "images" / names[-1])
    page.add_images({name: name for name in names}, width=100)
    page.save()
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'"width:(\d+)px"', text) == ["100", "150", "200", "150", "400", "400", "100"]
    assert text.count('loading="lazy"') == len(names)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            "real_A fake_B rec_A idt_B real_B fake_A rec_B idt_A attn_A attn_B",
            ["real_A fake_B rec_A idt_B", "real_B fake_A rec_B idt_A", "attn_A attn_B"],
        ),
        ("real_A fake_B rec_A real_B fake_A rec_B", ["real_A fake_B rec_A", "real_B fake_A rec_B"]),
        ("real_A fake_B real_B", ["real_A fake_B real_B"]),
        ("real_A real_B_rgb fake_B_rgb", ["real_A real_B_rgb fake_B_rgb"]),
        ("attn_1 attn_2 fake", ["attn_1 attn_2", "fake"]),
        ("a b c d e f g", ["a b c d e f", "g"]),
        ("", []),
    ],
)
def test_rows_of_panels(labels, expected):
    assert rows(labels.split()) == [row.split() for row in expected]


def test_the_newest_epoch_comes_first_and_is_overwritten(tmp_path):
    page = train_page(tmp_path)
    show(page, range(1, 4))
    show(page, range(3, 4))
    assert headings(tmp_path / "index.html") == [3, 2, 1]
    images = [f"epoch{epoch:03d}_{label}.png" for epoch in (1, 2, 3) for label in ("fake_B", "real_A")]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == images
    assert count_links(tmp_path) == 12


def test_older_epochs_move_to_pages_that_are_written_at_most_twice(tmp_path, monkeypatch):
    written: list[str] = []
    save = HTML.save
    monkeypatch.setattr(
        HTML, "save", lambda page, name="index.html": (written.append(name), save(page, name))
    )
    last = 3 * PER_PAGE + 5
    show(train_page(tmp_path), range(1, last + 1), labels=("fake",))
    assert headings(tmp_path / "index.html") == list(range(last, 2 * PER_PAGE, -1))
    assert headings(tmp_path / "page_001.html") == list(range(PER_PAGE, 0, -1))
    assert headings(tmp_path / "page_002.html") == list(range(2 * PER_PAGE, PER_PAGE, -1))
    assert written.count("page_001.html") == 2 and written.count("page_002.html") == 1
    assert len(headings(tmp_path / "index.html")) <= 40
    assert "page_002.html" in Links(tmp_path / "page_001.html").found
    count_links(tmp_path)


def test_a_long_run_writes_pages_of_bounded_size_and_rewrites_no_old_ones(tmp_path, monkeypatch):
    written: list[tuple[str, int]] = []
    write_atomically = html_page.write_atomically
    monkeypatch.setattr(
        html_page,
        "write_atomically",
        lambda path, data: (written.append((path.name, len(data))), write_atomically(path, data)),
    )
    last = 10 * PER_PAGE
    show(train_page(tmp_path), range(1, last + 1), labels=("fake",))
    longest = max(size for _, size in written[: 2 * PER_PAGE])
    assert max(size for _, size in written) < 1.1 * longest
    assert len(written) <= last + 2 * 9

    written.clear()
    resumed = train_page(tmp_path)
    write(resumed)
    assert [name for name, _ in written] == ["index.html"]
    resumed.remove_after(Clock(epoch=last - PER_PAGE + 1))
    write(resumed)
    assert [name for name, _ in written[1:]] == ["page_008.html", "index.html"]
    count_links(tmp_path)


def test_new_images_of_an_epoch_replace_its_section(tmp_path):
    page = train_page(tmp_path)
    show(page, range(1, 3))
    page.save_images(1, {"fake_B": np.zeros((7, 5, 3), np.uint8), "rec_A": DOT})
    write(page)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text.count('height="7"') == 1 and text.count("<figcaption>rec_A") == 1


def test_a_resumed_run_keeps_its_epochs_in_order_and_deletes_later_ones(tmp_path):
    labels = ("real_A", "fake_B", "attn_A")
    show(train_page(tmp_path), range(1, 2 * PER_PAGE + 3), labels)
    assert (tmp_path / "page_001.html").exists()

    page = train_page(tmp_path)
    page.remove_after(Clock(epoch=6, epoch_images=10))
    write(page)
    assert headings(tmp_path / "index.html") == [6, 5, 4, 3, 2, 1]
    assert not (tmp_path / "page_001.html").exists()
    assert len(list((tmp_path / "images").iterdir())) == 6 * 3
    captions = re.findall(r"<figcaption>(\w+)", (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert captions[:3] == list(labels)

    page.remove_after(Clock(epoch=6, epoch_images=0))
    write(page)
    assert headings(tmp_path / "index.html") == [5, 4, 3, 2, 1]
    count_links(tmp_path)


def test_labels_that_are_not_valid_file_names_and_files_of_others(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("epoch1_x.png", "epochs.png", "epoch001_x.jpg"):
        (tmp_path / "images" / name).touch()
    page = train_page(tmp_path)
    write(page)
    assert headings(tmp_path / "index.html") == []
    page.save_images(1, {"attn 64/32: G#1": DOT})
    write(page)
    assert (tmp_path / "images" / "epoch001_attn 64_32_ G#1.png").is_file()
    assert count_links(tmp_path) == 2


def picture(value: float = 0.0, channels: int = 3, size: tuple[int, int] = (4, 6)) -> torch.Tensor:
    return torch.full((1, channels, *size), value)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder / "images").as_posix() for path in folder.rglob("*.png"))


def test_names_and_sub_folders_are_kept(tmp_path):
    page = ResultsPage(tmp_path, "t")
    page.add("/d/testA/x.jpg", "/d/testA", {"real": picture(), "fake": picture()[0]})
    page.add(f"/d/testA/sub/{ODD}.tar.png", "/d/testA", {"real": picture()})
    page.add("/elsewhere/y.png", "/d/testA", {"real": picture()})
    page.add("/elsewhere/z.png", None, {"real": picture()})
    page.save()
    assert files(tmp_path) == sorted(
        ["x_real.png", "x_fake.png", f"sub/{ODD}.tar_real.png", "y_real.png", "z_real.png"]
    )
    assert count_links(tmp_path) == 10


def test_equal_stems_do_not_overwrite_each_other(tmp_path):
    page = ResultsPage(tmp_path, "t")
    names = ["x.png", "x.jpg", "x_2.png", "X.webp", "a/x.png"]
    for index, name in enumerate(names):
        page.add(f"/d/{name}", "/d", {"fake": picture(index / 10)})
    # x_real with label A would be the file of x with label real_A
    page.add("/d/y.png", "/d", {"real_A": picture()})
    page.add("/d/y_real.png", "/d", {"A": picture()})
    page.save()
    assert len(files(tmp_path)) == 7
    stems = {"x", "x_2", "x_2_2", "X_3", "a/x"}
    assert {f"{stem}_fake.png" for stem in stems} | {"y_real_2_A.png"} <= set(files(tmp_path))
    assert count_links(tmp_path) == 14


def test_save_only_selects_labels_and_the_aspect_ratio_stretches(tmp_path):
    page = ResultsPage(tmp_path, "t", save_only=("fake_B",), aspect_ratio=2.0)
    page.add("x.png", None, {"real_A": picture(), "fake_B": picture(size=(4, 6))})
    assert files(tmp_path) == ["x_fake_B.png"]
    assert image_size(tmp_path / "images" / "x_fake_B.png") == (12, 4)


def test_many_results_are_split_into_pages_and_old_pages_are_deleted(tmp_path):
    page = ResultsPage(tmp_path, "t")
    for index in range(ROWS_PER_PAGE + 1):
        page.add(f"{index}.png", None, {"fake": picture(size=(1, 1))})
    page.save()
    assert len(Links(tmp_path / "index.html").found) == 2 * ROWS_PER_PAGE + 1
    assert Links(tmp_path / "page_002.html").found[0] == "index.html"
    count_links(tmp_path)
    small = ResultsPage(tmp_path, "t")
    small.add("0.png", None, {"fake": picture()})
    small.save()
    assert not (tmp_path / "page_002.html").exists()
    assert "1 image<" in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8(tmp_path):
    page = ResultsPage(tmp_path, "t")
    page.add("a\udcff.png", None, {"fake": picture()})
    page.save()
    assert "images/a%FF_fake.png" in Links(tmp_path / "index.html").found
