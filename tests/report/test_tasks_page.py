"""The page of `evaluate tasks`: its numbers, its plot, and nothing of a name that becomes markup."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser

import pytest

from recension.report.intervals import Mark, interval_plot
from recension.report.plots import Labels
from recension.report.tasks import Compared, TaskFigure, TaskResult, TasksReport, tasks_lines, tasks_page, value_text

ACC = TaskFigure("acc", "", 0.625, 0.05, 96, 0.52, 0.71, "mean", True)
BITS = TaskFigure("bits_per_byte", "", 1.25, 0.01, 40, 1.23, 1.27, "bits", False)


def report(**more) -> TasksReport:
    tasks = (
        TaskResult(
            "arc", {"source": "arc.jsonl", "sha256": "ab" * 32, "rows": 100, "dropped": 4, "chance": 0.25}, (ACC,)
        ),
        TaskResult("<b>texts</b>", {"source": "t\x1b[31m.jsonl", "rows": 40, "dropped": 0}, (BITS,)),
    )
    values = {"title": "Tasks · hf:m", "run": "abc", "model": "hf:m", "spec": {"kind": "hf", "files": {"a": "f" * 64}}}
    return TasksReport(
        **{**values, "versions": {"lm_eval": "0.4.13"}, "settings": {"seed": "0"}, "tasks": tasks, **more}
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)


def tags(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


def test_the_page_says_what_was_found():
    page = tasks_page(report())
    for part in ("62.5%", "± 5.0%", "52.0% to 71.0%", "25.0%", "1.25", "abababababab", "96"):
        assert part in page
    assert "1 is above chance" in page and "4 rows were set aside" in page
    assert "b" not in tags(page) and "\x1b" not in page
    assert "svg" in tags(page)


def test_differences_have_their_own_table():
    change = Compared("arc", "acc", "", -0.04, 0.01, 96, -0.06, -0.02)
    page = tasks_page(report(against="hf:other (run x)", differences=(change,)))
    assert "This model minus hf:other (run x)" in page and "−4.0%" in page and "−6.0% to −2.0%" in page
    assert "1 of 1 metrics differ from hf:other" in page


def test_lines_hold_no_control_characters():
    lines = tasks_lines(report(notes=("a\x1b[31mb",)))
    assert not [line for line in lines if not line.isprintable()]
    assert any("arc" in line and "62.5%" in line and "n 96" in line for line in lines)


def test_json_keeps_its_shape():
    told = report().to_json()
    assert told["tasks"]["arc"]["acc"] == {
        "value": 0.625, "stderr": 0.05, "n": 96, "low": 0.52, "high": 0.71, "higher_is_better": True,
    }  # fmt: skip
    assert list(told) == [
        "run", "recipe", "model", "spec", "versions", "settings", "tasks", "about", "against", "notes",
    ]  # fmt: skip
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [(0.5, "acc", "50.0%"), (1.2345678, "bits_per_byte", "1.235"), (3.2e8, "x", "3.200e+08"), (None, "x", "∞")],
)
def test_values(value, metric, text):
    assert value_text(value, metric) == text


def test_the_plot_stays_in_its_frame_and_can_be_heard():
    rows = {"a" * 60: [Mark(0.0, 0.0, 3.0)], "b": [Mark(100.0, 97.0, 100.0)], "c": [Mark(50.0, math.nan, math.nan)]}
    svg = interval_plot(rows, Labels("Shares", "percent", ""), chance={"a" * 60: 25.0})
    assert "a" * 60 + ": 0, 95% from 0 to 3" in svg and "chance, " + "a" * 60 + ": 25" in svg
    assert svg.count("<circle") == 3 and svg.count('class="rule"') == 1
