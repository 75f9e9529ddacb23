"""The page of edits: what is written, without a browser."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recension.report import Mark, ViewedDocument, ViewedText, write_view
from recension.report.view import segments

ANY_TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)


class Blocks(HTMLParser):
    """The data blocks as a browser sees them: up to the first `</script>`."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.kind: str | None = None
        self.found: dict[str, list] = {"block": [], "index": []}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.kind = dict(attrs).get("class") if tag == "script" else None

    def handle_data(self, data):
        if self.kind in self.found:
            self.found[self.kind].append(json.loads(data))
            self.kind = None


def view(report, documents) -> str:
    out = io.StringIO()
    assert write_view(out, report, iter(documents)) == len(documents)
    return out.getvalue()


@st.composite
def edited_texts(draw):
    """A text made of plain and new pieces, and the original that it came from."""
    text, original, marks = "", "", []
    for plain, old, new in draw(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), max_size=6)):
        text, original = text + plain, original + plain
        marks.append(Mark(len(text), old, new, 0.995, 0.25))
        text, original = text + new, original + old
    last = draw(ANY_TEXT)
    return ViewedText(1, "text", text + last, tuple(marks)), original + last


@given(edited_texts())
def test_segments_hold_both_texts(case):
    text, original = case
    parts = segments(text)
    assert [type(part) for part in parts] == [str, *([list, str] * len(text.marks))]
    assert "".join(p if isinstance(p, str) else p[1] for p in parts) == text.text
    assert "".join(p if isinstance(p, str) else p[0] for p in parts) == original


@given(st.lists(edited_texts(), max_size=4), ANY_TEXT)
def test_what_is_written_reads_back(make_report_values, cases, name):
    documents = [ViewedDocument(name, name, 1, (text,)) for text, _ in cases]
    found = Blocks(view(make_report_values, documents)).found
    held = [document for block in found["block"] for document in block]
    assert [d["id"] for d in held] == [name] * len(cases)
    assert [d["texts"][0]["s"] for d in held] == [segments(text) for text, _ in cases]
    assert [entry[1] for entry in found["index"][0]["documents"]] == [[1, len(text.marks)] for text, _ in cases]


@pytest.fixture(scope="module")
def make_report_values():
    from recension.report import EditReport

    return EditReport("t", "r", "p", {}, 1, 1, {}, ())


@pytest.mark.parametrize(
    "marks",
    [(Mark(1, "x", "b", 1, 0),), (Mark(3, "x", "cd", 1, 0),), (Mark(0, "x", "ab", 1, 0), Mark(1, "x", "b", 1, 0))],
    ids=["elsewhere", "past the end", "overlapping"],
)
def test_a_mark_that_lies_is_an_error(marks):
    with pytest.raises(ValueError, match="does not say what stands there"):
        segments(ViewedText(1, "text", "abc" if marks[0].start != 1 else "acb", marks))


def test_a_probability_that_is_none_is_null():
    assert segments(ViewedText(1, "text", "b", (Mark(0, "a", "b", float("nan"), 1 / 3),)))[1] == [
        "a",
        "b",
        None,
        0.33333,
    ]


def test_large_runs_are_written_in_blocks(make_report):
    documents = [ViewedDocument(str(i), "f:1", 1, (ViewedText(1, "text", "x" * 60_000),)) for i in range(12)]
    found = Blocks(view(make_report(), documents)).found
    assert len(found["block"]) > 1
    assert sum(len(block) for block in found["block"]) == 12
    assert found["index"][0]["written"] == 321


def test_the_index_counts_edits_by_generation_over_all_fields(make_report):
    mark = (Mark(0, "a", "b", 1, 0),)
    texts = (ViewedText(1, "x", "b", mark), ViewedText(1, "y", "b", mark), ViewedText(2, "x", "b"))
    index = Blocks(view(make_report(2), [ViewedDocument("d", "f:1", 3, texts)])).found["index"][0]
    assert index["documents"] == [[0, [1, 2], [2, 0]]]
    assert index["editions"] == 3
