"""Splitters against simple ones, fed in chunks of any size."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from recension.corpus.splitting import (
    Lines,
    LineSplitter,
    LongRow,
    ParagraphSplitter,
    Row,
    ValueSplitter,
    WholeSplitter,
    json_mode,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\[]{},:\n é', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a"\\]}', max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text(alphabet='a"\\]}', max_size=3), VALUES, max_size=3), max_size=6)


def feed(splitter, content, sizes):
    cuts = []
    start = 0
    for size in [*sizes, len(content)]:
        if content[start : start + size]:
            cuts += splitter.feed(content[start : start + size])
        start += size
    return cuts + list(splitter.finish())


SIZES = st.lists(st.integers(1, 9), max_size=40)


@given(st.lists(VALUES, max_size=8), SIZES, st.sampled_from([None, 1]), st.sampled_from([",", " ,\n "]), st.booleans())
def test_elements_of_an_array(values, sizes, indent, comma, ascii_only):
    inner = comma.join(json.dumps(value, indent=indent, ensure_ascii=ascii_only) for value in values)
    content = f" [{inner} ]\n".encode()
    cuts = feed(ValueSplitter(0, 1 << 20, True), content, sizes)
    assert [json.loads(cut.data) for cut in cuts] == values
    assert [cut.row for cut in cuts] == list(range(1, len(values) + 1))
    for cut in cuts:
        assert content[cut.offset : cut.offset + len(cut.data)] == cut.data


@given(OBJECTS, SIZES, st.sampled_from([None, 1]), st.sampled_from(["", "\n", "\n\n "]))
def test_objects_one_after_the_other(values, sizes, indent, between):
    content = between.join(json.dumps(value, indent=indent) for value in values).encode()
    cuts = feed(ValueSplitter(0, 1 << 20, False), content, sizes)
    assert [json.loads(cut.data) for cut in cuts] == values


@given(st.text(alphabet='{}[]",\\ a\n').map(str.encode), SIZES, st.booleans(), st.integers(1, 20))
def test_no_byte_of_any_garbage_is_lost(content, sizes, array, max_row):
    content = b"[" + content if array else content
    whole = feed(ValueSplitter(0, max_row, array), content, [])
    assert feed(ValueSplitter(0, max_row, array), content, sizes) == whole
    left = bytearray(content)
    for cut in whole:
        length = cut.length if isinstance(cut, LongRow) else len(cut.data)
        left[cut.offset : cut.offset + length] = b" " * length
    assert set(bytes(left)) <= set(b"[], \n}")


@given(st.text(alphabet="ab \n\r").map(str.encode), SIZES, st.integers(1, 30))
def test_lines(content, sizes, max_row):
    rows = []
    for cut in feed(LineSplitter(0, max_row), content, sizes):
        if isinstance(cut, Lines):
            rows += [(cut.offset, part) for part in _with_offsets(cut)]
        else:
            assert cut.length > max_row
            rows.append((cut.offset, cut.length))
    flat = [(o + p[0], p[1]) if isinstance(p, tuple) else (o, p) for o, p in rows]
    expected = []
    position = 0
    for line in content.split(b"\n")[: None if not content.endswith(b"\n") else -1]:
        if content:
            expected.append((position, len(line)))
        position += len(line) + 1
    assert flat == expected


def _with_offsets(cut):
    start = 0
    lines = cut.data.split(b"\n")
    for line in lines[:-1] if cut.data.endswith(b"\n") else lines:
        yield start, len(line)
        start += len(line) + 1


@given(st.text(alphabet="ab \n\r\t").map(str.encode), SIZES)
def test_paragraphs(content, sizes):
    cuts = feed(ParagraphSplitter(0, 1 << 20), content, sizes)
    paragraphs = re.split(rb"(?m)^[ \t\r]*(?:\n|\Z)", content)
    expected = [part.rstrip(b"\r\n") for part in paragraphs if part.strip()]
    assert [cut.data for cut in cuts] == expected
    for cut in cuts:
        assert content[cut.offset : cut.offset + len(cut.data)] == cut.data
        assert cut.row == content[: cut.offset].count(b"\n") + 1


@given(st.binary(max_size=40), SIZES, st.integers(1, 40))
def test_a_whole_file(content, sizes, max_row):
    (cut,) = feed(WholeSplitter(0, max_row), content, sizes)
    if len(content) > max_row:
        assert (cut.length, cut.head) == (len(content), content)
    else:
        assert cut == Row(content, 0, 1)


def test_modes():
    assert json_mode(b' \n[{"a": 1}]') == "array"
    assert json_mode(b'{\n "a": 1\n}') == "values"
    assert json_mode(b'{"a": 1}{"a": 2}') == "values"
    assert json_mode(b'{"a": 1}\n{"a": 2}\n') == "lines"
    assert json_mode(b'{"a": \n{"a": 2}\n') == "lines"
    assert json_mode(b"") == "values"
