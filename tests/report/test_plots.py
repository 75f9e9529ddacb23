from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_edit_page import contrast

from recension.report.overlay import SHADES
from recension.report.page import PALETTE
from recension.report.plots import HEIGHT, WIDTH, Labels, histogram, line_chart

LABELS = Labels("A title", "across", "up")


def svg(markup: str) -> ET.Element:
    figure = ET.fromstring(markup)
    found = figure.find("svg")
    assert found is not None
    return found


def bars(root: ET.Element) -> list[ET.Element]:
    return [r for r in root.iter("rect") if r.get("class") == "bar"]


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60))
def test_bars_are_proportional_and_inside(counts):
    root = svg(histogram(counts, LABELS))
    drawn = bars(root)
    assert len(drawn) == sum(1 for c in counts if c)
    for bar in drawn:
        assert float(bar.get("x", "")) >= 0
        assert float(bar.get("x", "")) + float(bar.get("width", "")) <= WIDTH
        assert 0 <= float(bar.get("y", "")) < float(bar.get("y", "")) + float(bar.get("height", "")) <= HEIGHT
    if drawn:
        tall = [float(bar.get("height", "")) for bar in drawn]
        shown = [c for c in counts if c]
        most = max(shown)
        for height, count in zip(tall, shown, strict=True):
            assert height == pytest.approx(max(max(tall) * count / most, 0.75), abs=0.02)


def test_a_plot_speaks_for_itself():
    root = svg(histogram([1, 0, 0, 3], LABELS, mark=(0.9, "<here>")))
    assert root.get("role") == "img"
    assert "A title" in (root.get("aria-label") or "")
    assert "75%" in (root.get("aria-label") or "")
    texts = [t.text for t in root.iter("text")]
    assert {"across", "up", "<here>", "0", "0.25", "0.5", "0.75", "1"} <= set(texts)


def test_every_colour_comes_from_the_page():
    for markup in (histogram([1, 2], LABELS), line_chart({"a": [(1, 2), (2, 3)]}, LABELS)):
        assert not re.search(r"fill=|stroke=|style=|#[0-9a-f]{3}", markup)


@pytest.mark.parametrize("markup", [histogram([], LABELS), histogram([0, 0], LABELS), line_chart({}, LABELS)])
def test_nothing_to_draw_is_said(markup):
    assert "nothing to draw" in [t.text for t in svg(markup).iter("text")]


def test_lines_rise_with_their_numbers():
    root = svg(line_chart({"one": [(1, 0.0), (2, 5.0), (3, 2.5)], "two": [(1, 1.0)]}, LABELS, "%"))
    spots = [float(c.get("cy", "")) for c in root.iter("circle")]
    assert spots[0] > spots[2] > spots[1]
    assert spots[2] == pytest.approx((spots[0] + spots[1]) / 2, abs=0.02)
    assert "one from 0% to 2.5%" in (root.get("aria-label") or "")


def test_tiny_and_single_values_have_an_axis():
    assert "0.001" in line_chart({"a": [(1, 0.001)]}, LABELS)
    svg(line_chart({"a": [(1, 0.0)]}, LABELS))


@pytest.mark.parametrize("name", SHADES)
def test_further_corpora_on_a_map_can_be_seen(name):
    for theme in range(2):
        assert contrast(PALETTE["paper"][theme], SHADES[name][theme]) >= 3
