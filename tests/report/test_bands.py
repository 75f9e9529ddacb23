"""Curves with intervals: readable in both themes, and nothing lies on something else."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from test_edit_page import contrast

from recension.report.bands import APART, TONES, Curve, Point, Stretch, curves, legend, plain
from recension.report.page import PALETTE
from recension.report.plots import Labels
from recension.report.simulate_text import percent
from recension.report.values import Measured

LABELS = Labels("Title", "generation", "error")


@pytest.mark.parametrize("name", TONES)
def test_names_on_their_lines_can_be_read(name):
    for theme in range(2):
        assert contrast(PALETTE["paper"][theme], TONES[name][theme]) >= 4.5


def test_names_stand_apart_and_inside():
    same = [Curve(f"policy {i}", plain([1.0, 1.0 + i / 1000]), i) for i in range(6)]
    drawn = curves(same, LABELS, named=True)
    places = [float(y) for y in re.findall(r'class="name t\d" x="\d+" y="([\d.]+)"', drawn)]
    assert len(places) == 6
    assert all(b - a >= APART - 0.01 for a, b in itertools.pairwise(places))
    assert 0 < places[0] and places[-1] < 260


def test_intervals_and_stretches_are_drawn_and_told():
    points = [Point(1, 1.0, 0.9, 1.1), Point(2, 2.0, 1.5, 2.5), Point(3, math.nan, math.nan, math.nan)]
    drawn = curves([Curve("<b>", points, kind="dots")], LABELS, [Stretch(1.5, 2.5, "a claim fails")])
    assert drawn.count('class="spread') == 2 and drawn.count('class="spot') == 2
    assert "<b>" not in drawn and "shaded: a claim fails" in drawn
    assert "nothing to draw" in curves([Curve("x", [])], LABELS)
    assert legend([("words", 1, "dots"), ("more", 0, "shaded")]).count("<li>") == 2


def test_a_share_has_the_digits_that_its_interval_allows():
    assert percent(Measured(0.0102, 0.01006, 0.01034)) == "+1.020 ± 0.014%"
    assert percent(Measured(-0.1, -0.121, -0.079)) == "\N{MINUS SIGN}10.0 ± 2.1%"
    assert percent(Measured(0.1)) == "+10.00%"
