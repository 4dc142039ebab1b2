"""The pages: what they hold, that every link leads somewhere, that nothing is lost or overwritten."""

import html.parser
import json
import pickle
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch

from util.clock import Clock
from util.display import loss_history as history_file
from util.display.loss_history import History, Series
from util.errors import RunFault, UserError
from util.imaging.images import image_size, save_image
from util.pages import html as html_page
from util.pages.html import HTML, rows
from util.pages.loss_curves import BUCKETS, loss_curves, nice_ticks, short, y_range
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


def assert_all_links_lead_somewhere(folder: Path) -> int:
    count = 0
    for page in folder.glob("*.html"):
        for link in Links(page).found:
            assert not re.search(r"[#?\\ ]|^/|^\w+:", link), link
            assert (folder / unquote(link)).is_file(), (page.name, link)
            count += 1
    return count


def train_page(web_dir: Path) -> TrainPage:
    return TrainPage(web_dir, title=f"run {ODD}", options={"lr": 0.0002, ODD: ODD}, image_width=256)


def show(page: TrainPage, epochs: range, labels: tuple[str, ...] = ("real_A", "fake_B")) -> None:
    for epoch in epochs:
        page.save_images(epoch, dict.fromkeys(labels, DOT))
        page.write(subtitle="", charts="", refresh=0)


def headings(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"Epoch (\d+)", path.read_text(encoding="utf-8"))]


# --- html


def test_names_are_quoted_and_text_is_escaped(tmp_path):
    page = HTML(tmp_path, ODD)
    (tmp_path / "images" / "sub").mkdir()
    for name in (f"{ODD}.png", f"sub/{ODD}.png"):
        save_image(DOT, tmp_path / "images" / name)
        page.add_header(ODD)
        page.add_images([name], [ODD], [name], width=100)
    page.save()
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in text.replace("<b>0", "")
    assert "ä &lt;b&gt;&amp;" in text
    assert assert_all_links_lead_somewhere(tmp_path) == 4


def test_page_fetches_nothing_and_says_its_encoding(tmp_path):
    HTML(tmp_path, "t").save()
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "http:" not in text and "https:" not in text and "<script" not in text
    assert '<meta charset="utf-8">' in text
    assert 'http-equiv="refresh"' not in text
    HTML(tmp_path, "t", refresh=60).save()
    assert '<meta content="60" http-equiv="refresh">' in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_pictures_that_are_not_there_are_left_out(tmp_path):
    page = HTML(tmp_path, "t")
    page.add_header("h")
    page.add_images(["absent.png"], ["absent"], ["absent.png"])
    page.save()
    assert "img" not in Links(tmp_path / "index.html").tags


def test_large_and_wide_pictures_are_shown_up_to_twice_the_width(tmp_path):
    page = HTML(tmp_path, "t")
    page.add_header("h")
    names = []
    for width, height in ((10, 10), (150, 150), (900, 900), (15, 10), (90, 10), (10, 90)):
        names.append(f"{width}x{height}.png")
        save_image(np.zeros((height, width, 3), np.uint8), tmp_path / "images" / names[-1])
    page.add_images(names, names, names, width=100)
    page.save()
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"flex:0 1 (\d+)px\"", text) == ["100", "150", "200", "150", "200", "100"]
    assert text.count('loading="lazy"') == len(names)


def test_without_dominate_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dominate", None)
    with pytest.raises(UserError, match="pip install dominate, or pass --no_html"):
        HTML(tmp_path, "t")


# --- training page


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


def test_newest_epoch_comes_first_and_is_overwritten(tmp_path):
    page = train_page(tmp_path)
    show(page, range(1, 4))
    show(page, range(3, 4))
    assert headings(tmp_path / "index.html") == [3, 2, 1]
    assert sorted(path.name for path in (tmp_path / "images").iterdir())[:2] == [
        "epoch001_fake_B.png",
        "epoch001_real_A.png",
    ]
    assert len(list((tmp_path / "images").iterdir())) == 6
    assert assert_all_links_lead_somewhere(tmp_path) == 12


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
    assert_all_links_lead_somewhere(tmp_path)


def test_a_long_run_writes_pages_of_bounded_size_and_rewrites_no_old_ones(tmp_path, monkeypatch):
    written: list[tuple[str, int]] = []
    write = html_page.write_whole
    monkeypatch.setattr(
        html_page,
        "write_whole",
        lambda path, data: (written.append((path.name, len(data))), write(path, data)),
    )
    last = 10 * PER_PAGE
    show(train_page(tmp_path), range(1, last + 1), labels=("fake",))
    longest = max(size for _, size in written[: 2 * PER_PAGE])
    assert max(size for _, size in written) < 1.1 * longest
    assert len(written) <= last + 2 * 9

    written.clear()
    resumed = train_page(tmp_path)
    resumed.write(subtitle="", charts="", refresh=0)
    assert [name for name, _ in written] == ["index.html"]
    resumed.forget_after(Clock(epoch=last - PER_PAGE + 1))
    resumed.write(subtitle="", charts="", refresh=0)
    assert [name for name, _ in written[1:]] == ["page_008.html", "index.html"]
    assert_all_links_lead_somewhere(tmp_path)


def test_an_epoch_that_gets_new_pictures_is_drawn_anew(tmp_path):
    page = train_page(tmp_path)
    show(page, range(1, 3))
    page.save_images(1, {"fake_B": np.zeros((7, 5, 3), np.uint8), "rec_A": DOT})
    page.write(subtitle="", charts="", refresh=0)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text.count('height="7"') == 1 and text.count("<figcaption>rec_A") == 1


def test_resumed_run_keeps_its_epochs_in_order_and_forgets_what_lies_ahead(tmp_path):
    labels = ("real_A", "fake_B", "attn_A")
    show(train_page(tmp_path), range(1, 2 * PER_PAGE + 3), labels)
    assert (tmp_path / "page_001.html").exists()

    page = train_page(tmp_path)
    page.forget_after(Clock(epoch=6, epoch_images=10))
    page.write(subtitle="", charts="", refresh=0)
    assert headings(tmp_path / "index.html") == [6, 5, 4, 3, 2, 1]
    assert not (tmp_path / "page_001.html").exists()
    assert len(list((tmp_path / "images").iterdir())) == 6 * 3
    captions = re.findall(r"<figcaption>(\w+)", (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert captions[:3] == list(labels)

    page.forget_after(Clock(epoch=6, epoch_images=0))
    page.write(subtitle="", charts="", refresh=0)
    assert headings(tmp_path / "index.html") == [5, 4, 3, 2, 1]
    assert_all_links_lead_somewhere(tmp_path)


def test_labels_that_no_file_system_takes(tmp_path):
    page = train_page(tmp_path)
    page.save_images(1, {"attn 64/32: G#1": DOT})
    page.write(subtitle="", charts="", refresh=0)
    assert (tmp_path / "images" / "epoch001_attn 64_32_ G#1.png").is_file()
    assert assert_all_links_lead_somewhere(tmp_path) == 2


def test_foreign_files_are_no_epochs(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("epoch1_x.png", "epochs.png", "epoch001_x.jpg"):
        (tmp_path / "images" / name).touch()
    page = train_page(tmp_path)
    page.write(subtitle="", charts="", refresh=0)
    assert headings(tmp_path / "index.html") == []


# --- curves


def history(**values: list[float]) -> History:
    result = History()
    for name, ys in values.items():
        for x, y in enumerate(ys):
            result.add(x, {name: y})
    return result


def test_families_share_a_chart():
    text = loss_curves(history(D_A=[1, 2], G_A=[1, 2], D_B=[2, 3], G_B=[3, 1]).series)
    assert text.count("<svg") == 2
    first = text.split("</figure>")[0]
    assert "D_A" in first and "D_B" in first and "G_A" not in first


def test_curves_are_drawn_in_bounded_size():
    text = loss_curves(history(G=[float(x % 7) for x in range(10_000)]).series)
    assert len(re.findall(r"\d,\d", re.search(r'<polyline[^>]*points="([^"]*)"', text)[1])) == BUCKETS
    assert len(text) < 20_000


def test_what_is_not_finite_is_skipped():
    text = loss_curves(history(G=[1.0, float("nan"), float("inf"), 3.0]).series)
    points = re.search(r'<polyline[^>]*points="([^"]*)"', text)[1].split()
    assert len(points) == 2
    assert "nan" not in text.lower() and "inf" not in text
    assert loss_curves(history(G=[float("nan")]).series) == ""
    assert loss_curves({}) == ""


def test_a_single_point_is_a_dot_and_a_flat_line_a_line():
    assert "<circle" in loss_curves(history(G=[0.0]).series)
    flat = re.search(r'points="([^"]*)"', loss_curves(history(G=[5.0] * 9).series))[1].split()
    assert len({point.split(",")[1] for point in flat}) == 1


def test_names_in_curves_are_escaped():
    text = loss_curves(history(**{'<i>"': [1, 2]}).series)
    assert "<i>" not in text and "&lt;i&gt;" in text


def test_an_outlier_does_not_flatten_the_curve():
    low, high = y_range(np.array([1.0, 2.0] * 100 + [1e6]))
    assert low >= 0 and high < 3


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (0, 1000, [0, 500, 1000]), (-0.3, 0.32, [-0.2, 0, 0.2]), (3, 9, [4, 6, 8])],
)
def test_ticks_are_round(low, high, expected):
    assert nice_ticks(low, high, 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1 + 0.2, "0.3"), (1500, "1.5k"), (2e6, "2M"), (-0.02, "-0.02"), (0, "0")]
)
def test_short_numbers(value, text):
    assert short(value) == text


def test_series_stays_bounded_and_keeps_its_mean():
    series = Series(most=100)
    for x in range(6400):
        series.add(x, float(x))
    assert 50 <= len(series.xs) <= 100
    assert np.mean(series.ys) == pytest.approx(6399 / 2)
    assert list(series.xs) == list(series.ys) == sorted(series.xs)
    assert series.last == 6399


def test_a_million_points_stay_few_and_their_spike_is_seen():
    series = Series()
    for x in range(1_000_000):
        series.add(x, 1000.0 if x == 123_456 else x % 2)
    assert len(pickle.dumps(series)) < 70_000
    assert max(series.highs) == 1000 and min(series.lows) == 0
    text = loss_curves({"G": series})
    assert len(text) < 20_000
    band = re.search(r'<polygon[^>]*points="([^"]*)"', text)[1].split()
    heights = [float(point.split(",")[1]) for point in band[BUCKETS:]]
    assert min(heights) < 0 < sorted(heights)[1]  # one bucket alone goes out at the top


@pytest.mark.parametrize("most", [10**9, 20_000])
def test_of_a_long_past_some_is_read_evenly_and_the_end(tmp_path, monkeypatch, most):
    monkeypatch.setattr(history_file, "MOST_BYTES", most)
    monkeypatch.setattr(history_file, "STRETCHES", 100)
    with (tmp_path / "losses.jsonl").open("w") as lines:
        for images in range(1, 5001):
            lines.write(f'{{"images": {images}, "losses": {{"G": {images}}}}}\n')
    past = History()
    past.read(tmp_path / "losses.jsonl", up_to=5000)
    points = past.series["G"]
    assert points.last == 5000 and min(points.lows) == 1
    assert list(points.xs) == sorted(set(points.xs)) == list(points.ys)
    steps = np.diff(points.xs)
    if most == 20_000:
        assert 400 < len(points.xs) < 700 and steps.max() < 60
    else:
        assert np.mean(points.xs) == pytest.approx(2500.5) and set(steps) == {4.0}


@pytest.mark.parametrize("more", [1, 7, 400])
def test_just_beyond_the_most_no_record_is_read_twice(tmp_path, monkeypatch, more):
    path = tmp_path / "losses.jsonl"
    path.write_text("".join(f'{{"images": {images}, "losses": {{"G": 1}}}}\n' for images in range(3000)))
    monkeypatch.setattr(history_file, "MOST_BYTES", path.stat().st_size - more)
    monkeypatch.setattr(history_file, "STRETCHES", 100)
    read = [json.loads(line)["images"] for line in history_file._lines(path)]
    assert read == sorted(set(read)) and len(read) > 2900 and read[-1] == 2999


# --- results page


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
    assert assert_all_links_lead_somewhere(tmp_path) == 10


def test_equal_stems_do_not_overwrite(tmp_path):
    page = ResultsPage(tmp_path, "t")
    names = ["x.png", "x.jpg", "x_2.png", "X.webp", "a/x.png"]
    for index, name in enumerate(names):
        page.add(f"/d/{name}", "/d", {"fake": picture(index / 10)})
    # x_real with label A would be the file of x with label real_A
    page.add("/d/y.png", "/d", {"real_A": picture()})
    page.add("/d/y_real.png", "/d", {"A": picture()})
    page.save()
    assert len(files(tmp_path)) == 7
    assert {"x_fake.png", "x_2_fake.png", "x_2_2_fake.png", "X_3_fake.png", "a/x_fake.png"} <= set(
        files(tmp_path)
    )
    assert "y_real_2_A.png" in files(tmp_path)
    assert assert_all_links_lead_somewhere(tmp_path) == 14


def test_save_only(tmp_path):
    page = ResultsPage(tmp_path, "t", save_only=("fake_B",))
    page.add("x.png", None, {"real_A": picture(), "fake_B": picture()})
    assert files(tmp_path) == ["x_fake_B.png"]
    wrong = ResultsPage(tmp_path, "t", save_only=("fake_C",))
    with pytest.raises(UserError, match=r"--save_only fake_C: .* it shows real_A, fake_B"):
        wrong.add("y.png", None, {"real_A": picture(), "fake_B": picture()})


def test_aspect_ratio_of_results(tmp_path):
    page = ResultsPage(tmp_path, "t", aspect_ratio=2.0)
    page.add("x.png", None, {"fake": picture(size=(4, 6))})
    assert image_size(tmp_path / "images" / "x_fake.png") == (12, 4)


def test_many_results_are_paged_and_stale_pages_go(tmp_path):
    page = ResultsPage(tmp_path, "t")
    for index in range(ROWS_PER_PAGE + 1):
        page.add(f"{index}.png", None, {"fake": picture(size=(1, 1))})
    page.save()
    assert len(Links(tmp_path / "index.html").found) == 2 * ROWS_PER_PAGE + 1
    assert Links(tmp_path / "page_002.html").found[0] == "index.html"
    assert_all_links_lead_somewhere(tmp_path)
    small = ResultsPage(tmp_path, "t")
    small.add("0.png", None, {"fake": picture()})
    small.save()
    assert not (tmp_path / "page_002.html").exists()
    assert "1 image<" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_page_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    page = ResultsPage(tmp_path / "file", "t")
    with pytest.raises(RunFault, match=r"cannot write .*file"):
        page.add("x.png", None, {"fake": picture()})


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_no_utf8(tmp_path):
    page = ResultsPage(tmp_path, "t")
    page.add("a\udcff.png", None, {"fake": picture()})
    page.save()
    assert "images/a%FF_fake.png" in Links(tmp_path / "index.html").found
