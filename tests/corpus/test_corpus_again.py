"""What we wrote, read and written again: nothing of an odd row is lost on the second way either."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.corpus import FORMATS, Reading
from recension.errors import UsageError
from tests.corpus.tools import jsonl, read_all, table_of, write_all

PARTS = [{"type": "text", "text": "what is this?"}, {"type": "image", "url": "u"}]
ODD = [
    {"id": "parts", "messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": PARTS}]},
    {"id": "null", "messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": None, "tool": 1}]},
    {"id": "named", "messages": [{"role": "assistant", "content": "a", "name": "bot", "score": 1.0}], "lang": "en"},
    {"id": "gap", "messages": [None, {"role": "assistant", "content": "a"}, None]},
    {"id": "taken", "messages": [{"role": "assistant", "content": "a"}], "messages_extra": [{"content": ["no"]}]},
    {"id": "taken-too", "messages": [{"role": "assistant", "content": "a", "k": 2}], "messages_extra": [{"k": 1}]},
    {
        "id": "held",
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}],
        "metadata": {"messages_extra": [{"content": [{"text": "no"}]}, {"content": [{"text": "no"}]}]},
    },
    {
        "id": "spelled",
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}],
        "metadata": '{"messages_extra": [{"content": [{"text": "no"}]}, {"content": [{"text": "no"}]}]}',
    },
    {"id": "far", "messages": [{"role": "assistant", "content": "a", "k": 2}], "messages_extra_": []},
    {"id": "sole", "messages": [{"role": "assistant", "content": "a"}], "metadata": {"k": 1.0}},
    {"id": "nulls", "text": None, "messages": [{"role": "assistant", "content": "a"}], "output": None},
    {"id": "number", "messages": [{"role": "user", "content": 7}, {"role": "assistant", "content": "a"}]},
    {"id": "text", "text": "t", "messages": None, "metadata": {"messages_extra": [1]}},
    {"id": "task", "instruction": None, "input": None, "output": "o", "metadata": "no"},
]


def around(root, rows, reading, format):
    """The rows of a file as they were read, and as they read once they were written; and both as written."""
    root.mkdir()
    (root / "a.jsonl").write_bytes(jsonl(*rows))
    first = read_all(root / "a.jsonl", reading)
    write_all(root / "out", first, format=format)
    again = read_all(root / "out" / "data", Reading(shapes=first.corpus.layout.shapes))
    assert not again.bad
    for one, two in zip(first.good, again.good, strict=True):
        assert one.carried.exchange == two.carried.exchange
        assert one.document.text == two.document.text
        assert one.document.fields == two.document.fields
        assert one.document.origin == two.document.origin
    names = first.corpus.layout.schema.names
    assert table_of(again).select(names).to_pylist() == table_of(first).to_pylist()
    assert set(table_of(again).schema.names) == set(names)
    return first, again


@pytest.mark.parametrize("shape", ["auto", "mixed"])
@pytest.mark.parametrize("format", FORMATS)
def test_odd_rows_read_as_they_were(format, shape, tmp_path):
    first, again = around(tmp_path / "a", ODD, Reading(shape=shape), format)
    assert [r.document.id for r in again.good] == [row["id"] for row in ODD]
    changed = {"gap": {"messages[1].content": "A"}, "named": {"messages[0].content": "B"}}
    one, two = (table_of(result, changed).to_pylist() for result in (first, again))
    assert [row["messages"] for row in one] == [row["messages"] for row in two]
    assert [row["messages"] for row in two if row["id"] == "gap"] == [
        [None, {"role": "assistant", "content": "A"}, None]
    ]


def test_our_tables_among_other_files_keep_their_columns(tmp_path):
    first, _ = around(tmp_path / "a", ODD, Reading(shape="mixed"), "parquet")
    (tmp_path / "a" / "out" / "data" / "more.jsonl").write_bytes(jsonl({"id": "last", "text": "t", "k": 1}))
    result = read_all(tmp_path / "a" / "out" / "data", Reading(shapes=first.corpus.layout.shapes))
    assert result.corpus.layout.kind == "metadata"
    assert table_of(result).to_pylist()[:-1] == table_of(first).to_pylist()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "k", ""]), inner, max_size=2),
    max_leaves=4,
)
WORDS = st.text(st.sampled_from('ab"\\\n é𝄞'), max_size=4)
CONTENTS = WORDS | VALUES | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}), max_size=2)
MESSAGE = st.none() | st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", ""])},
    optional={"content": CONTENTS, "name": WORDS, "tool_calls": VALUES, "messages_extra": VALUES},
)
EXTRAS = st.lists(
    st.none() | st.dictionaries(st.sampled_from(["content", "role", "k"]), CONTENTS, max_size=2), max_size=3
)
HELD = st.fixed_dictionaries({}, optional={"messages_extra": EXTRAS | VALUES, "k": VALUES})
ROW = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=3)},
    optional={
        "messages_extra": EXTRAS | VALUES,
        "messages_extra_": EXTRAS,
        "metadata": VALUES | WORDS | HELD | HELD.map(json.dumps),
        "text": st.none() | WORDS,
        "instruction": st.none() | WORDS,
        "output": st.none() | WORDS,
        "origin": VALUES | WORDS,
    },
)


@given(rows=st.lists(ROW, min_size=1, max_size=4), format=st.sampled_from(["parquet", "jsonl"]), mixed=st.booleans())
@settings(max_examples=80, deadline=None)
def test_any_odd_row_reads_as_it_was(rows, format, mixed, tmp_path_factory):
    rows = [{"id": str(index), **row} for index, row in enumerate(rows)]
    root = tmp_path_factory.mktemp("again") / "a"
    around(root, rows, Reading(shape="mixed" if mixed else "chat"), format)


def test_the_shapes_of_a_layout_are_not_guessed(tmp_path):
    messages = [{"role": "assistant", "content": "m"}]
    row = {"id": "a", "text": "t", "messages": messages, "instruction": "i", "output": "o"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_bytes(jsonl(row))
    texts = {"chat": "assistant: m", "instruction": "i\n\no", "text": "t"}
    for shape, text in texts.items():
        result = read_all(tmp_path / "a.parquet", Reading(shapes=(shape,)))
        assert result.corpus.layout.shapes == (shape,)
        assert [r.document.text for r in result.good] == [text]
        written = table_of(result).to_pylist()[0]
        assert {key: written[key] for key in row} == row
        assert [r.document.text for r in read_all(tmp_path, Reading(shapes=(shape,))).good] == [text] * 2
    order = Reading(shapes=("instruction", "chat", "text"))
    assert [r.document.text for r in read_all(tmp_path, order).good] == [texts["instruction"]] * 2
    (tmp_path / "c.jsonl").write_bytes(jsonl({"text": "only"}, {"messages": messages}))
    assert [r.document.text for r in read_all(tmp_path / "c.jsonl", order).good] == ["only", "assistant: m"]
    for wrong in (("text", "text"), ("song",)):
        with pytest.raises(UsageError, match="at most once"):
            Reading(shapes=wrong)


def test_plain_text_has_no_place_among_chats(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"some text")
    assert [bad.reason for bad in read_all(tmp_path, Reading(shapes=("chat",))).rows] == ["unexpected-shape"]
