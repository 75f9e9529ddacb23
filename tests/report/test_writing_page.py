"""The report of what a model wrote: its figures, and nothing of a text becomes markup."""

from __future__ import annotations

from dataclasses import replace

from recension.report.writing import CallFigures, Example, WritingReport, writing_page, writing_summary_lines

EVIL = '<script>alert(1)</script> \x1b[31m & "quoted"'

REPORT = WritingReport(
    title="Reformulated corpus",
    verb="reformulate",
    run="abc",
    writer="openai:m@http://localhost:1/v1",
    judge="openai:j@http://localhost:1/v1",
    variant="base",
    settings={"pairs": "5"},
    sources=10,
    parts=12,
    source_tokens=1_000,
    written=40,
    tokens=2_500,
    dropped={"score": 15, EVIL: 5},
    acceptance={"pairs": {"reached": 60, "passed": 60}, "texts": {"reached": 60, "passed": 58}},
    stages={"pairs": {"answered": 12, "repair": 1}, "rewrite": {"answered": 58, "truncated": 2}},
    scores={"5": 20, "4": 10, "3": 10, "1": 9, "unparsable": 1},
    genres={EVIL: {"asked": 30, "kept": 20}, "letter": {"asked": 30, "kept": 20}},
    matrix={EVIL: {"nurses": 20}, "letter": {"nurses": 5, EVIL: 15}},
    examples=(Example("kept", "d1", EVIL, EVIL, EVIL, EVIL, EVIL), Example(EVIL, "d2", "s", "t", "g", "a", "")),
    calls=CallFigures(112, 50_000, 9_000, 1.25, 7, 3),
    notes=(EVIL,),
)


def test_figures_and_the_papers_table_are_there():
    page = writing_page(REPORT)
    assert REPORT.expansion == 2.5 and "2.50 tokens for each token of a source" in page
    assert "80.0%" in page, "40 of 50 scored 3 or more, the unreadable one among them"
    assert "92.1%" in page and "198" in page, "the paper's own row"
    assert "Acceptance, by stage" in page and "96.7%" in page, "58 of 60"
    lines = writing_summary_lines(REPORT)
    assert "66.7% of what was asked for" in lines[0] and any("cost 1.25" in line for line in lines)
    assert any("3 requests were under way" in line for line in lines)
    assert any("80.0% of 50 scored 3 or more" in line for line in lines), "as in the table"


def test_texts_and_names_are_never_markup_or_commands():
    page = writing_page(REPORT)
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page and "\x1b" not in page
    assert all(line.isprintable() for line in writing_summary_lines(REPORT))
    empty = replace(
        REPORT, written=0, sources=0, source_tokens=0, examples=(), matrix={}, genres={}, stages={}, scores={}
    )
    assert "Nothing was kept" in writing_page(empty) and empty.expansion is None
