"""Loss curves drawn as SVG."""

import re

import numpy as np
import pytest

from util.pages.loss_curves import MAX_MEANS, loss_curves, nice_ticks, short, y_range
from util.pages.loss_history import History


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


def test_long_curves_are_drawn_in_bounded_size():
    text = loss_curves(history(G=[float(x % 7) for x in range(10_000)]).series)
    assert len(re.findall(r"\d,\d", re.search(r'<polyline[^>]*points="([^"]*)"', text)[1])) == MAX_MEANS
    assert len(text) < 20_000


def test_values_that_are_not_finite_are_skipped():
    text = loss_curves(history(G=[1.0, float("nan"), float("inf"), 3.0]).series)
    points = re.search(r'<polyline[^>]*points="([^"]*)"', text)[1].split()
    assert len(points) == 2
    assert "nan" not in text.lower() and "inf" not in text
    assert loss_curves(history(G=[float("nan")]).series) == ""
    assert loss_curves({}) == ""


def test_a_single_point_is_a_dot_and_a_constant_is_a_horizontal_line():
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


def test_a_spike_is_drawn_in_one_place_of_the_band():
    ys = [float(x % 2) for x in range(100_000)]
    ys[12_345] = 1000.0
    text = loss_curves(history(G=ys).series)
    band = re.search(r'<polygon[^>]*points="([^"]*)"', text)[1].split()
    heights = [float(point.split(",")[1]) for point in band[MAX_MEANS:]]
    assert min(heights) < 0 < sorted(heights)[1]  # above the top of the chart
