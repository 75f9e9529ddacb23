"""The pages of `evaluate`: readable, and what a document or a name says stays text."""

from __future__ import annotations

import json
import math

import pytest
from test_edit_page import HOSTILE, Tags, contrast

from recension.report import (
    DomainFigures,
    Interval,
    LossPatternReport,
    ModelFigures,
    PerplexityReport,
    ScopeFigures,
    Token,
    WorstPassage,
    loss_pattern_page,
    loss_pattern_summary_lines,
    perplexity_page,
    perplexity_summary_lines,
)
from recension.report.intervals import Mark, interval_plot, round_axis
from recension.report.loss_pattern import SHADES, shade
from recension.report.page import PALETTE
from recension.report.pairs import scatter, signed_bars
from recension.report.perplexity import called
from recension.report.plots import Labels

ALLOWED = {"html", "head", "meta", "title", "style", "script", "body"}


def interval(value: float) -> Interval:
    return Interval(value, value - 0.1, value + 0.1)


def scope(difference: float | None = None) -> ScopeFigures:
    model = ModelFigures(interval(1.0), interval(20.0))
    if difference is None:
        return ScopeFigures(model)
    other = ModelFigures(interval(1.0 - difference), interval(22.0))
    return ScopeFigures(model, other, interval(difference), None)


def perplexities(difference: float | None = None, name: str = "news") -> PerplexityReport:
    figures = scope(difference)
    count = 1 if difference is None else 2
    domain = DomainFigures(30, 3000, (700,) * count, (700,) * count, (3000.0,) * count, figures)
    return PerplexityReport(
        run="0123456789ab",
        mode="standard",
        models=("hf:a", "hf:b")[:count],
        settings={"mode": "standard"},
        domains={name: domain, "books": domain},
        macro=figures,
        micro=figures,
        dropped={"broken-json": 2},
        notes=("a note",),
    )


def pattern(text: str = "word", name: str = "doc-1") -> LossPatternReport:
    tokens = (Token("", text, 1.0, 3.5, True), Token(" ", "!", 1.0, 0.4, False), Token("", "", 1.0, 1.0, False))
    return LossPatternReport(
        run="0123456789ab",
        models=("hf:real", "hf:synthetic"),
        settings={"passages above": "0.5 nats", "k": "1"},
        documents=10,
        tokens=1000,
        real=interval(3.0),
        synthetic=interval(3.4),
        difference=interval(0.4),
        k=1.0,
        anomalies={0.5: 7, 1.0: 2},
        first_anomalies=(0, 1, 1),
        by_place=(0.2, -0.1, None),
        points=((3.0, 3.4), (2.0, 1.9)),
        worst=(WorstPassage(name, "in.jsonl:3", 12, 2.5, tokens),),
        dropped={"broken-json": 1},
    )


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (None, "hf:a needs 1.0000 (0.9000 to 1.1000) bits per byte over 2 domains"),
        (0.3, "hf:b is better: hf:a needs +0.3000 (+0.2000 to +0.4000) bits per byte more over 2 domains"),
        (-0.3, "hf:a is better: it needs 0.3000 (0.2000 to 0.4000) bits per byte less than hf:b over 2 domains"),
        (0.05, "No difference is shown between hf:a and hf:b"),
    ],
)
def test_the_result_is_one_sentence_on_the_page_and_on_the_terminal(difference, said):
    report = perplexities(difference)
    text = "".join(Tags(perplexity_page(report)).text)
    assert said in text
    assert said in perplexity_summary_lines(report)[0]
    for word in ("news", "books", "mean of the domains", "all documents", "broken-json", "a note"):
        assert word in text
    assert ("Paired difference" in text) == (difference is not None)


def test_loss_pattern_says_its_result_and_shows_its_passages():
    page = loss_pattern_page(pattern())
    text = "".join(Tags(page).text)
    said = "hf:synthetic predicts this text worse than hf:real, by 0.4000 (0.3000 to 0.5000) nats a token"
    assert said in text and said in loss_pattern_summary_lines(pattern())[0]
    assert '<span class="worse-4 in" title="real 1.00, synthetic 3.50, difference +2.50">word</span>' in page
    assert '<span class="better-2" title="real 1.00, synthetic 0.40, difference -0.60">!</span>' in page
    assert "2 of 10 documents" in text and "First anomaly" in text


@pytest.mark.parametrize(
    "page", [loss_pattern_page(pattern(HOSTILE, HOSTILE)), perplexity_page(perplexities(0.1, HOSTILE))]
)
def test_what_a_document_says_is_never_markup(page):
    tags = Tags(page)
    assert "img" not in {tag for tag, _ in tags.seen}
    assert [attributes for tag, attributes in tags.seen if tag == "script"] == [{}]
    assert not [name for _, attributes in tags.seen for name in attributes if name.startswith("on") or name == "style"]
    assert "onerror=" in "".join(tags.text)


def test_json_has_no_number_that_json_lacks():
    unknown = Interval(1.0, math.nan, math.nan)
    figures = ScopeFigures(ModelFigures(unknown, unknown))
    raw = figures.to_json()
    assert raw["bits_per_byte"] == {"value": 1.0, "low": None, "high": None}
    assert json.loads(json.dumps(pattern().to_json(), allow_nan=False))["documents_with_anomaly"] == {"0.5": 7, "1": 2}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", SHADES)
def test_tokens_can_be_read_on_every_shade(theme, name):
    assert contrast(PALETTE["ink"][theme], SHADES[name][theme]) >= 4.5


def test_shades_go_by_the_size_of_a_difference():
    assert [shade(x) for x in (0.1, 0.25, -0.6, 1.5, -9.0, math.nan)] == [
        "", "worse-1", "better-2", "worse-3", "better-4", "",
    ]  # fmt: skip


def test_of_a_long_path_the_end_is_shown_where_it_tells_models_apart():
    long = "hf:" + "folder/" * 9
    assert called(["hf:a", f"{long}b"]) == ["hf:a", "hf:…r/folder/folder/folder/b"]
    twins = [f"{long}a/model", f"hf:other/{long[3:]}a/model"]
    assert called(twins) == twins


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-3.2, 4.1], [1e-9, 2e-9], [2.66, 2.94], [120.0, 9000.0], []])
def test_an_axis_holds_its_values_in_a_few_round_steps(values):
    low, high, step = round_axis(values)
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)
    assert 1 <= round((high - low) / step) <= 7


def test_plots_draw_every_mark_and_nothing_of_what_is_no_number():
    labels = Labels("Title", "x", "y")
    plot = interval_plot({"a": [Mark(1, 0.5, 2)], "b": [Mark(math.nan, math.nan, math.nan)]}, labels, zero=True)
    assert (
        plot.count("<circle") == 1
        and 'class="rule"' in plot
        and "nan" not in plot.partition("<svg")[2].partition(">")[2]
    )
    assert scatter([(1, 2), (2, 1), (3, 5)], labels).count("<circle") == 3
    assert "2 of 3 points" in scatter([(1, 2), (2, 1), (3, 5)], labels)
    assert signed_bars([1.0, -2.0, None], labels).count("<rect") == 2
    assert "nothing to draw" in scatter([], labels) and "nothing to draw" in signed_bars([None], labels)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_open_without_complaint_and_fit_a_telephone(chromium, tmp_path, scheme):
    pages = {"pattern": loss_pattern_page(pattern(HOSTILE * 3)), "ppl": perplexity_page(perplexities(0.1, HOSTILE))}
    for name, page in pages.items():
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
        context = chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
        opened = context.new_page()
        complaints: list[str] = []
        opened.on("console", lambda message, kept=complaints: kept.append(message.text))
        opened.on("pageerror", lambda error, kept=complaints: kept.append(str(error)))
        opened.goto((tmp_path / f"{name}.html").as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390
        assert opened.title() != "1" and complaints == []
        if name == "pattern":
            ground = opened.evaluate("getComputedStyle(document.querySelector('.worse-4.in')).backgroundColor")
            assert ground == {"light": "rgb(238, 157, 102)", "dark": "rgb(133, 77, 29)"}[scheme]
        context.close()
