"""The report as values, as a page and as lines."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recension.report import edit_page, edit_report_from_json, edit_summary_lines
from recension.report.page import PALETTE, decimal, embed, escape, number, percent, shell

HOSTILE = '</script><img src=x onerror="document.title=1"> --> <!-- & \u2028\u2029 \ud800 \x00 ]]> ${x} `'


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [
        *((ink, ground, 4.5) for ink in ("ink", "quiet", "accent") for ground in ("ground", "paper", "wash")),
        ("new-ink", "new", 4.5),
        ("old-ink", "old", 4.5),
        ("hit-ink", "hit", 4.5),
        ("edge", "paper", 3.0),
        ("edge", "ground", 3.0),
        ("bar", "paper", 3.0),
        ("bar-two", "paper", 3.0),
        ("accent", "new", 3.0),
    ],
)
def test_colours_can_be_read(theme, ink, ground, least):
    assert contrast(PALETTE[ink][theme], PALETTE[ground][theme]) >= least


def test_every_colour_that_a_style_names_exists_and_every_one_is_used():
    from recension.report.page import asset

    styles = asset("page.css") + asset("view.css")
    own = set(re.findall(r"--([a-z-]+):", styles))
    used = set(re.findall(r"var\(--([a-z-]+)\)", styles))
    assert used - own == set(PALETTE)


def test_report_survives_json(make_report):
    report = make_report(3)
    raw = json.loads(json.dumps(report.to_json()))
    assert edit_report_from_json(raw) == report
    assert raw["generations"][2]["generation"] == 3


def test_page_says_what_happened(make_report):
    page = edit_page(make_report())
    text = "".join(Tags(page).text)
    assert "500 of 10,000 tokens in 321 documents were replaced (5.00%)." in text
    assert "12 input rows were set aside" in text
    assert "12.0%" in text
    assert "−3.250 → −3.500" in text
    assert "broken-json" in text
    assert "recension verify ." in text
    assert "recension revert . -o ../original" in text
    assert page.count("<svg ") == 2


def test_several_generations_are_told_apart(make_report):
    page = edit_page(make_report(3))
    assert "Over 3 generations" in page
    assert "generation 2" in page
    assert page.count('<tr><th scope="row">') >= 3 + 2 + 2


@pytest.mark.parametrize("changes", [{"steps": 0}, {"documents": 0, "tokens": 0, "dropped": {}, "notes": ()}])
def test_page_of_nothing(make_report, changes):
    page = edit_page(make_report(changes.pop("steps", 1), **changes))
    assert page.endswith("</html>\n")
    assert "Nothing was edited" in page


def test_page_reaches_for_nothing(make_report):
    page = edit_page(make_report(2))
    assert not re.search(r"""(src|href|action|data|poster)\s*=""", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "://" not in page
    policy = next(a["content"] for t, a in Tags(page).seen if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_of_the_data_becomes_markup(make_report):
    bad = make_report(
        title=HOSTILE,
        run=HOSTILE,
        settings={"threshold": "0.99", HOSTILE: HOSTILE},
        dropped={HOSTILE: 3, "x" + HOSTILE: 9},
        notes=(HOSTILE,),
    )
    page = edit_page(bad)
    page.encode("utf-8")
    clean = Tags(edit_page(make_report()))
    assert [(tag, sorted(attrs)) for tag, attrs in Tags(page).seen] == [(t, sorted(a)) for t, a in clean.seen]


@given(st.text())
def test_embedded_json_is_inert_and_exact(text):
    raw = embed({"text": text})
    raw.encode("utf-8")
    assert not set("<>&\u2028\u2029") & set(raw)
    assert json.loads(raw) == {"text": text}


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_escaped_text_reads_back(text):
    reader = Tags(f'<p title="{escape(text)}">{escape(text)}</p>')
    assert "".join(reader.text) == text
    assert reader.seen == [("p", {"title": text})]


def test_shell_carries_data_and_only_its_own_script():
    page = shell("A & B", "<p>x</p>", script="let a = 1;", data={"x": "</script>"})
    seen = Tags(page).seen
    assert ("script", {"type": "application/json", "class": "data"}) in seen
    assert "<title>A &amp; B</title>" in page
    assert "\\u003c/script\\u003e" in page


@pytest.mark.parametrize(
    ("part", "whole", "says"),
    [
        (0, 0, "–"),
        (0, 9, "0%"),
        (9, 9, "100%"),
        (1, 8, "12.5%"),
        (1, 80, "1.25%"),
        (1, 10**6, "<0.01%"),
        (999, 1000, "99.9%"),
    ],
)
def test_shares(part, whole, says):
    assert percent(part, whole) == says


def test_numbers():
    assert number(1234567) == "1,234,567"
    assert decimal(None) == "–"
    assert decimal(float("nan")) == "–"
    assert decimal(-1.5) == "−1.500"


def test_lines_for_a_terminal(make_report):
    lines = edit_summary_lines(make_report(dropped={"a\x1b[31m": 2}))
    assert lines[0].startswith("500 of 10,000 tokens")
    assert any("flagged 1,200 (12.0%), changed 500 (5.00%), protected 40, not editable 7" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert lines[-1] == "  note: notes.pdf was skipped"
